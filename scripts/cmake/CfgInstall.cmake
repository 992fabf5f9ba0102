# Filled by the folders' install() rules; the CMake package and pkg-config files come from here.
