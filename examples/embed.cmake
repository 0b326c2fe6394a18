# Writes OUT, a C++ file that holds the text of FILES as gradus::examples::NAME: what a program shows is then what
# was there when it was built.
set(text "")
foreach(file IN LISTS FILES)
  file(READ "${file}" content)
  string(APPEND text "R\"~~~(${content})~~~\"\n")
endforeach()
file(WRITE "${OUT}" "namespace gradus::examples {\nextern const char* const ${NAME};\n"
  "const char* const ${NAME} =\n${text};\n}\n")
