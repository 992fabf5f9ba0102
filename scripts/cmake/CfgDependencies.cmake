# Debian's libevent ships no CMake package, hence pkg-config for what has none.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(CURL 7.80 REQUIRED) # CURLOPT_PREREQFUNCTION
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson>=1.7.15)
pkg_check_modules(LIBEVENT REQUIRED IMPORTED_TARGET libevent_core>=2.1 libevent_extra>=2.1 libevent_openssl>=2.1)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8>=10.40) # \p{Script=…}
pkg_check_modules(IDN2 REQUIRED IMPORTED_TARGET libidn2>=2.3)

# The model's matrix products on a CPU.
pkg_check_modules(OPENBLAS IMPORTED_TARGET openblas)
if(NOT OPENBLAS_FOUND)
  message(FATAL_ERROR "OpenBLAS was not found; cfg-train and cfg-infer need it: install libopenblas-dev (scripts/setup --yes does)")
endif()
