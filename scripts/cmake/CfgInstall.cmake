# The folders install their own programs and libraries; here is what binds them: a CMake package (configd::client, configd::worker) and relocatable
# pkg-config files, the API's description, the Python module.
include(CMakePackageConfigHelpers)

set_target_properties(cfgctl cfg-infer cfg-train PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
set_target_properties(cfgworker PROPERTIES INSTALL_RPATH "$ORIGIN")
set_target_properties(cfgclient PROPERTIES EXPORT_NAME client)
set_target_properties(cfgworker PROPERTIES EXPORT_NAME worker)

install(TARGETS configd)
install(EXPORT configd-targets NAMESPACE configd:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/configd)
configure_package_config_file(scripts/cmake/configd-config.cmake.in ${PROJECT_BINARY_DIR}/configd-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/configd)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/configd-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/configd-config.cmake ${PROJECT_BINARY_DIR}/configd-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/configd)

# Relative to the .pc itself, so that `cmake --install --prefix X` gives files that are right under X.
file(RELATIVE_PATH CFG_PC_TO_INCLUDE /${CMAKE_INSTALL_LIBDIR}/pkgconfig /${CMAKE_INSTALL_INCLUDEDIR})
foreach(part client worker)
  configure_file(scripts/cmake/cfg${part}.pc.in ${PROJECT_BINARY_DIR}/cfg${part}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/cfg${part}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

install(FILES proto/openapi.yaml DESTINATION ${CMAKE_INSTALL_DATADIR}/configd)
install(DIRECTORY client/python/configd DESTINATION ${CMAKE_INSTALL_DATADIR}/configd/python FILES_MATCHING PATTERN "*.py")
