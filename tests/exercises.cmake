# The exercises of examples/exercises, each a header. Its grader is compiled with the reader's header, and again with the
# solution. With GRADUS_EXERCISES on, `ctest -L exercise` grades the reader's; while it is off nobody is working on them,
# and they must fail as open exercises should.
option(GRADUS_EXERCISES "Grade examples/exercises with `ctest -L exercise`" OFF)
add_custom_target(exercises)
foreach(exercise IN ITEMS confidence_penalty class_weighted adaptive calibration warmup)
  # Nobody has solved it yet. An option of the source, because it must come after those of the target: clang asks for that.
  set_source_files_properties(exercises/${exercise}.cpp PROPERTIES COMPILE_OPTIONS
    "-Wno-unused-parameter;$<$<CXX_COMPILER_ID:Clang>:-Wno-unused-private-field>")
  foreach(kind IN ITEMS exercise solution)
    set(grader ${kind}_${exercise})
    add_executable(${grader} exercises/${exercise}.cpp)
    target_include_directories(${grader} PRIVATE
      ${PROJECT_SOURCE_DIR}/examples/exercises$<$<STREQUAL:${kind},solution>:/solutions> ${PROJECT_SOURCE_DIR})
    target_link_libraries(${grader} PRIVATE gradus gradus_warnings)
    # A place outside a vector shall be named, not corrupt the memory.
    target_compile_definitions(${grader} PRIVATE _GLIBCXX_ASSERTIONS)
  endforeach()
  add_dependencies(exercises exercise_${exercise})
  add_test(NAME solution_${exercise} COMMAND solution_${exercise})
  if(GRADUS_EXERCISES)
    add_test(NAME exercise_${exercise} COMMAND exercise_${exercise})
  else()
    add_test(NAME stub_${exercise} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/exercises/stub_fails.sh $<TARGET_FILE:exercise_${exercise}>)
  endif()
  foreach(label IN ITEMS solution exercise stub)
    if(TEST ${label}_${exercise})
      set_tests_properties(${label}_${exercise} PROPERTIES LABELS ${label} TIMEOUT 60)
    endif()
  endforeach()
endforeach()
