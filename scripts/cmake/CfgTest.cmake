pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET criterion)

# cfg_test(NAME name SOURCES … [LIBS …] [LABELS …] [TIMEOUT s] [ENV …] [ARGS …] [PLAIN] [LOCK resource])
#
# A Criterion program (or a plain main() with PLAIN) as one CTest test. Names follow the tree: proto.json, configd.store.
# Criterion exits 0 when nothing ran, when a test was skipped and when memory leaked, so its output is judged too.
function(cfg_test)
  cmake_parse_arguments(T "PLAIN" "NAME;TIMEOUT;LOCK" "SOURCES;LIBS;LABELS;ENV;ARGS" ${ARGN})
  if(T_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "cfg_test(${T_NAME}): unknown arguments ${T_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  string(REPLACE "." "_" target "test_${T_NAME}")
  add_executable(${target} ${T_SOURCES})
  target_link_libraries(${target} PRIVATE cfg_options ${T_LIBS})
  if(NOT T_PLAIN)
    target_link_libraries(${target} PRIVATE PkgConfig::CRITERION)
  endif()
  # `--target build_race` builds what `ctest -L race` runs, and so for every label.
  foreach(label IN LISTS T_LABELS)
    if(NOT TARGET build_${label})
      add_custom_target(build_${label})
    endif()
    add_dependencies(build_${label} ${target})
  endforeach()
  add_test(NAME ${T_NAME} COMMAND ${target} ${T_ARGS} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set_tests_properties(${T_NAME} PROPERTIES
    TIMEOUT ${T_TIMEOUT} LABELS "${T_LABELS}" SKIP_RETURN_CODE 77
    ENVIRONMENT "CFG_BUILD_DIR=${PROJECT_BINARY_DIR};CFG_SOURCE_DIR=${PROJECT_SOURCE_DIR};${T_ENV}"
    FAIL_REGULAR_EXPRESSION "Tested: 0 ;usage: ;Tests compiled with Criterion;ERROR: LeakSanitizer;WARNING: ThreadSanitizer;runtime error: "
    SKIP_REGULAR_EXPRESSION "SKIP: no ")
  if(T_LOCK)
    set_tests_properties(${T_NAME} PROPERTIES RESOURCE_LOCK ${T_LOCK})
  endif()
endfunction()
