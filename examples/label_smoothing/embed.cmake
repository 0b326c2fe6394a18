# Writes OUT, a C++ file that holds the text of SOURCES, so that the page can show lines as they were compiled.
set(text "")
foreach(source IN LISTS SOURCES)
  file(READ "${source}" content)
  string(APPEND text "R\"~~~(${content})~~~\"\n")
endforeach()
file(WRITE "${OUT}" "namespace gradus::examples::lab {\nextern const char* const kSources;\n"
  "const char* const kSources =\n${text};\n}\n")
