# Every ```cpp block of every README.md, and of nn/PYTORCH.md, is a complete program. Each is compiled alone, as it stands, and one ctest entry,
# FILE:LINE, runs it: what it prints must be what its `// -> ` comments say.
set(root ${PROJECT_SOURCE_DIR})
file(GLOB_RECURSE chapters RELATIVE ${root} CONFIGURE_DEPENDS ${root}/tensor/README.md ${root}/autograd/README.md
  ${root}/nn/README.md ${root}/nn/PYTORCH.md ${root}/losses/README.md ${root}/optim/README.md ${root}/examples/README.md ${root}/tests/README.md)

foreach(readme IN ITEMS README.md LISTS chapters)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${root}/${readme})
  file(READ ${root}/${readme} rest)
  set(line 1)  # of the first character of `rest`
  set(number 0)
  while(TRUE)
    string(FIND "${rest}" "\n```cpp\n" fence)
    if(fence EQUAL -1)
      break()
    endif()
    math(EXPR begin "${fence} + 8")
    string(SUBSTRING "${rest}" 0 ${begin} before)
    string(REGEX REPLACE "[^\n]" "" newlines "${before}")
    string(LENGTH "${newlines}" count)
    math(EXPR line "${line} + ${count}")
    string(SUBSTRING "${rest}" ${begin} -1 rest)
    string(FIND "${rest}" "\n```\n" end)
    if(end EQUAL -1)
      message(FATAL_ERROR "${readme}:${line}: this ```cpp block has no end")
    endif()
    string(SUBSTRING "${rest}" 0 ${end} code)

    math(EXPR number "${number} + 1")
    string(MAKE_C_IDENTIFIER "${readme}_block_${number}" target)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp)
    file(CONFIGURE OUTPUT ${source} CONTENT "#line ${line} \"${root}/${readme}\"\n${code}\n" @ONLY)  # touched only by a change
    add_executable(${target} ${source})
    target_compile_options(${target} PRIVATE -O0)  # they compute little
    target_link_libraries(${target} PRIVATE gradus gradus_rooms gradus_warnings)
    add_test(NAME ${readme}:${line} COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/readme_block.sh $<TARGET_FILE:${target}> ${source})
    set_tests_properties(${readme}:${line} PROPERTIES LABELS docs TIMEOUT 60)
  endwhile()
endforeach()

add_test(NAME readme_block_notices
  COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/readme_block.sh $<TARGET_FILE:README_md_block_1> ${CMAKE_CURRENT_BINARY_DIR}/losses_README_md_block_1.cpp)
set_tests_properties(readme_block_notices PROPERTIES LABELS docs TIMEOUT 60
  PASS_REGULAR_EXPRESSION "--- the comments say.*\\+\\+\\+ the program prints")

add_test(NAME readme_links COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/readme_links.sh)
set_tests_properties(readme_links PROPERTIES LABELS docs TIMEOUT 60)
