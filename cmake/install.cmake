# SPDX-License-Identifier: Apache-2.0
#
# What is installed where, in the components that become Debian packages: libvirtdisk1, libvirtdisk-dev, vdisk,
# nbdkit-plugin-vdisk.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT libvirtdisk-dev FILES_MATCHING PATTERN "*.h")

if(TARGET virtdisk)
  install(TARGETS virtdisk EXPORT virtdiskTargets
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libvirtdisk1 NAMELINK_COMPONENT libvirtdisk-dev)
  install(TARGETS virtdisk_static EXPORT virtdiskStaticTargets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libvirtdisk-dev)
  set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/virtdisk)
  foreach(set virtdiskTargets virtdiskStaticTargets)
    install(EXPORT ${set} NAMESPACE virtdisk:: DESTINATION ${config_dir} COMPONENT libvirtdisk-dev)
  endforeach()
  configure_package_config_file(cmake/virtdiskConfig.cmake.in ${CMAKE_BINARY_DIR}/virtdiskConfig.cmake
                                INSTALL_DESTINATION ${config_dir})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/virtdiskConfigVersion.cmake COMPATIBILITY SameMajorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/virtdiskConfig.cmake ${CMAKE_BINARY_DIR}/virtdiskConfigVersion.cmake
          DESTINATION ${config_dir} COMPONENT libvirtdisk-dev)

  file(RELATIVE_PATH VDISK_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" VDISK_PC_TO_PREFIX ${VDISK_PC_TO_PREFIX})
  set(VDISK_PC_LIBDIR "\${exec_prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(VDISK_PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
  configure_file(cmake/virtdisk.pc.in ${CMAKE_BINARY_DIR}/virtdisk.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/virtdisk.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT libvirtdisk-dev)
endif()

if(TARGET vdisk)
  install(TARGETS vdisk DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT vdisk)
  install(TARGETS vdisk_server DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/vdisk COMPONENT vdisk)
  configure_file(cmake/vdisk-attach.service.in ${CMAKE_BINARY_DIR}/vdisk-attach.service @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/vdisk-attach.service DESTINATION lib/systemd/system COMPONENT vdisk)
  configure_file(cmake/61-vdisk.rules.in ${CMAKE_BINARY_DIR}/61-vdisk.rules @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/61-vdisk.rules DESTINATION lib/udev/rules.d COMPONENT vdisk)
  install(FILES completions/vdisk.bash RENAME vdisk
          DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions COMPONENT vdisk)
  install(FILES completions/_vdisk DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT vdisk)
  install(FILES completions/vdisk.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT vdisk)

  find_program(SCDOC scdoc)
  if(SCDOC)
    file(GLOB pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.1.scd)
    set(built "")
    foreach(page ${pages})
      cmake_path(GET page STEM LAST_ONLY name)
      set(out ${CMAKE_BINARY_DIR}/man/${name})
      add_custom_command(OUTPUT ${out} COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
                         COMMAND sh -c "'${SCDOC}' < '${page}' > '${out}'" DEPENDS ${page} VERBATIM)
      list(APPEND built ${out})
    endforeach()
    add_custom_target(man ALL DEPENDS ${built})
    set(plugin_page ${CMAKE_BINARY_DIR}/man/nbdkit-vdisk-plugin.1)
    list(REMOVE_ITEM built ${plugin_page})
    install(FILES ${built} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT vdisk)
    if(TARGET nbdkit_vdisk_plugin)
      install(FILES ${plugin_page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT nbdkit-plugin-vdisk)
    endif()
  else()
    message(STATUS "scdoc is not there: no man pages")
  endif()
endif()

set(components libvirtdisk1 libvirtdisk-dev vdisk)
if(TARGET nbdkit_vdisk_plugin)
  install(TARGETS nbdkit_vdisk_plugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/nbdkit/plugins
          COMPONENT nbdkit-plugin-vdisk)
  list(APPEND components nbdkit-plugin-vdisk)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_COMPONENTS_ALL ${components})
set(CPACK_PACKAGE_CONTACT "The vdisk authors <vdisk@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_LIBVIRTDISK1_PACKAGE_NAME libvirtdisk1)
set(CPACK_DEBIAN_LIBVIRTDISK1_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBVIRTDISK1_PACKAGE_RECOMMENDS vdisk)  # vdisk-server, for attached disks
set(CPACK_DEBIAN_LIBVIRTDISK1_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/triggers)
set(CPACK_COMPONENT_LIBVIRTDISK1_DESCRIPTION
    "Virtual disk images with the virtdisk API - shared library\n Opens and describes VHD, VHDX and ISO images through the functions of <virtdisk.h>.")
set(CPACK_DEBIAN_LIBVIRTDISK-DEV_PACKAGE_NAME libvirtdisk-dev)
set(CPACK_DEBIAN_LIBVIRTDISK-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBVIRTDISK-DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_LIBVIRTDISK-DEV_PACKAGE_DEPENDS "libvirtdisk1 (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_LIBVIRTDISK-DEV_PACKAGE_RECOMMENDS "libfmt-dev, libisal-dev, liburing-dev")
set(CPACK_COMPONENT_LIBVIRTDISK-DEV_DESCRIPTION
    "Virtual disk images with the virtdisk API - development files\n Headers of the C and C++ APIs, the static library, and files for pkg-config and CMake.")
set(CPACK_DEBIAN_VDISK_PACKAGE_NAME vdisk)
set(CPACK_DEBIAN_VDISK_PACKAGE_SECTION utils)
set(CPACK_COMPONENT_VDISK_DESCRIPTION
    "Virtual disk images on the command line\n Describes, checks, maps, makes, converts, compares, attaches and serves VHD, VHDX and ISO images.")
set(CPACK_DEBIAN_VDISK_PACKAGE_SUGGESTS "nbdkit-plugin-vdisk, libnbd0")
set(CPACK_DEBIAN_LIBVIRTDISK1_PACKAGE_SUGGESTS "libnbd0")
set(CPACK_DEBIAN_NBDKIT-PLUGIN-VDISK_PACKAGE_NAME nbdkit-plugin-vdisk)
set(CPACK_DEBIAN_NBDKIT-PLUGIN-VDISK_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_NBDKIT-PLUGIN-VDISK_PACKAGE_DEPENDS "nbdkit")
set(CPACK_COMPONENT_NBDKIT-PLUGIN-VDISK_DESCRIPTION
    "Virtual disk images for nbdkit\n Serves VHD, VHDX and ISO images with their parents to NBD clients.")
include(CPack)
