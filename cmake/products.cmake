# SPDX-License-Identifier: Apache-2.0
#
# What is built from the folders: the engine archive that tools and tests link, libvirtdisk.{so,a}, `vdisk`.
set(VDISK_ENGINE_FOLDERS base io format format_raw format_vhd format_vhdx format_vhdset format_iso chain filesystem disk
                         serve serve_fuse serve_nbd attach)
# The ABI of the C API. Raised only when a program built against an older libvirtdisk would stop working.
set(VDISK_SO_VERSION 1)

# Adds the objects of the folders that have sources to `target`.
function(vdisk_add_objects target)
  foreach(folder ${ARGN})
    get_target_property(type vdisk_${folder} TYPE)
    if(type STREQUAL OBJECT_LIBRARY)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:vdisk_${folder}>)
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

# Everything but the C API and the tool, as one archive: what tests, benches and the tool link.
add_library(vdisk_engine STATIC)
vdisk_add_objects(vdisk_engine ${VDISK_ENGINE_FOLDERS})
target_include_directories(vdisk_engine PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(vdisk_engine PUBLIC vdisk_flags fmt::fmt ${ISAL_LIBRARY} ${URING_LIBRARY} Threads::Threads)

# The process behind each attachment. Attachment::attach looks for it beside the program, then where it is installed.
file(GLOB server_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/attach/server/*.cc)
add_executable(vdisk_server ${server_sources})
set_target_properties(vdisk_server PROPERTIES OUTPUT_NAME vdisk-server)
target_link_libraries(vdisk_server PRIVATE vdisk_engine)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/attach/server_program.cc PROPERTIES COMPILE_DEFINITIONS
                            "VDISK_LIBEXEC_FOLDER=\"${CMAKE_INSTALL_FULL_LIBEXECDIR}/vdisk\"")

get_target_property(capi_type vdisk_capi TYPE)
if(capi_type STREQUAL OBJECT_LIBRARY)
  # The C API with a stable ABI. The version script keeps every other name inside.
  add_library(virtdisk SHARED)
  vdisk_add_objects(virtdisk ${VDISK_ENGINE_FOLDERS} capi)
  set_target_properties(virtdisk PROPERTIES VERSION ${VDISK_SO_VERSION}.${PROJECT_VERSION} SOVERSION ${VDISK_SO_VERSION}
                                            LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/virtdisk.map)
  target_link_options(virtdisk PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/virtdisk.map
                      LINKER:--exclude-libs,ALL)
  if(NOT VDISK_SANITIZE)
    target_link_options(virtdisk PRIVATE LINKER:--no-undefined)
  endif()
  target_link_libraries(virtdisk PRIVATE fmt::fmt ${ISAL_LIBRARY} ${URING_LIBRARY} Threads::Threads)
  target_include_directories(virtdisk INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                             $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/vdisk/win32>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vdisk/win32>)

  # The C and C++ APIs as an archive; the C++ API has no binary form but this one.
  add_library(virtdisk_static STATIC)
  vdisk_add_objects(virtdisk_static ${VDISK_ENGINE_FOLDERS} capi)
  set_target_properties(virtdisk_static PROPERTIES OUTPUT_NAME virtdisk)
  target_compile_features(virtdisk_static INTERFACE cxx_std_23)
  target_include_directories(virtdisk_static INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                             $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/vdisk/win32>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
                             $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/vdisk/win32>)
  target_link_libraries(virtdisk_static INTERFACE fmt::fmt isal uring Threads::Threads)
endif()

if(EXISTS ${PROJECT_SOURCE_DIR}/src/cli/main.cc)
  find_package(CLI11 REQUIRED)
  find_package(nlohmann_json REQUIRED)
  find_library(BLKID_LIBRARY blkid REQUIRED)
  add_executable(vdisk ${PROJECT_SOURCE_DIR}/src/cli/main.cc)
  vdisk_add_objects(vdisk cli)
  target_include_directories(vdisk PRIVATE ${PROJECT_SOURCE_DIR}/src)
  get_target_property(cli_links vdisk_cli LINK_LIBRARIES)
  target_link_libraries(vdisk PRIVATE vdisk_engine CLI11::CLI11 nlohmann_json::nlohmann_json ${BLKID_LIBRARY})
  if(capi_type STREQUAL OBJECT_LIBRARY)
    # `vdisk open` makes the C API's call, so the tool carries those objects too and needs no shared library.
    vdisk_add_objects(vdisk capi)
    target_include_directories(vdisk PRIVATE ${PROJECT_SOURCE_DIR}/include/vdisk/win32)
  endif()
endif()

# nbdkit's plugin. nbdkit calls plugin_init alone; everything else stays inside.
if(NBDKIT_INCLUDE_DIR)
  add_library(vdisk_nbdkit_callbacks OBJECT ${PROJECT_SOURCE_DIR}/src/serve/nbd/plugin.cc)
  target_include_directories(vdisk_nbdkit_callbacks PRIVATE ${NBDKIT_INCLUDE_DIR})
  target_link_libraries(vdisk_nbdkit_callbacks PUBLIC vdisk_serve_nbd)
  add_library(nbdkit_vdisk_plugin MODULE)
  vdisk_add_objects(nbdkit_vdisk_plugin ${VDISK_ENGINE_FOLDERS} nbdkit_callbacks)
  set_target_properties(nbdkit_vdisk_plugin PROPERTIES PREFIX "" OUTPUT_NAME nbdkit-vdisk-plugin
                                                       LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/nbdkit_plugin.map)
  target_link_options(nbdkit_vdisk_plugin PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/nbdkit_plugin.map
                      LINKER:--exclude-libs,ALL)
  target_link_libraries(nbdkit_vdisk_plugin PRIVATE fmt::fmt ${ISAL_LIBRARY} ${URING_LIBRARY} Threads::Threads)
  if(TARGET vdisk)
    add_dependencies(vdisk nbdkit_vdisk_plugin)  # `vdisk serve` finds it beside the tool
  endif()
else()
  message(STATUS "nbdkit-plugin-dev is not there: no plugin for nbdkit")
endif()

# src/testing for tests, fuzz targets and benches; never in a product.
add_library(vdisk_testing_archive STATIC EXCLUDE_FROM_ALL)
vdisk_add_objects(vdisk_testing_archive testing)
target_link_libraries(vdisk_testing_archive PUBLIC vdisk_engine)

# gen_docs: prints the catalogue of faults and writes docs/errors.md.
if(EXISTS ${PROJECT_SOURCE_DIR}/src/disk/fault_catalogue.h)
  add_executable(gen_docs ${PROJECT_SOURCE_DIR}/tools/gen_docs.cc)
  target_link_libraries(gen_docs PRIVATE vdisk_engine)
endif()

# Test programs: one per folder. Those that start threads have the label `concurrency`, which is what runs under TSan;
# those of the engine have the label `sanitize`, which is what runs under ASan and UBSan.
if(VDISK_BUILD_TESTS)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/results)
  add_custom_target(concurrency_tests)
  add_custom_target(sanitize_tests)

  # vdisk_gtest(name program [ARGS…] [LABELS…]): a ctest test whose cases ./test counts (tools/test_summary).
  function(vdisk_gtest name program)
    cmake_parse_arguments(ARG "" "" "ARGS;LABELS" ${ARGN})
    add_test(NAME ${name} COMMAND ${program} ${ARG_ARGS})
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "GTEST_OUTPUT=xml:${CMAKE_BINARY_DIR}/results/${name}.xml"
                                            LABELS "${ARG_LABELS}")
  endfunction()

  add_library(vdisk_test_support INTERFACE)
  target_link_libraries(vdisk_test_support INTERFACE vdisk_testing_archive GTest::gmock GTest::gtest GTest::gtest_main)
  foreach(folder ${VDISK_TEST_FOLDERS})
    if(folder STREQUAL serve_nbd AND NOT TARGET vdisk_nbdkit_callbacks)
      continue()
    endif()
    add_executable(${folder}_test ${VDISK_TESTS_${folder}})
    target_link_libraries(${folder}_test PRIVATE vdisk_test_support)
    if(folder STREQUAL cli OR folder STREQUAL capi)
      target_link_libraries(${folder}_test PRIVATE vdisk_${folder})
      target_sources(${folder}_test PRIVATE $<TARGET_OBJECTS:vdisk_${folder}>)
    endif()
    if(folder STREQUAL serve_nbd)
      target_include_directories(${folder}_test PRIVATE ${NBDKIT_INCLUDE_DIR})
      target_sources(${folder}_test PRIVATE $<TARGET_OBJECTS:vdisk_nbdkit_callbacks>)
    endif()
    set(labels "")
    if(NOT (folder STREQUAL cli OR folder STREQUAL capi))
      set(labels sanitize)
      add_dependencies(sanitize_tests ${folder}_test)
    endif()
    foreach(source ${VDISK_TESTS_${folder}})
      file(STRINGS ${source} found REGEX "^#include <(thread|future|pthread.h)>")
      if(found)
        list(APPEND labels concurrency)
        list(REMOVE_DUPLICATES labels)
        add_dependencies(concurrency_tests ${folder}_test)
      endif()
    endforeach()
    vdisk_gtest(${folder} ${folder}_test LABELS ${labels})
  endforeach()
endif()

include(cmake/install.cmake)
