# SPDX-License-Identifier: Apache-2.0
#
# vdisk_folder(path DEPENDS folder…): the object library of src/<path> (its own files and those of sub-folders that
# are not folders of their own), and the test program of the *_test.cc files beside them.
set(VDISK_TEST_FOLDERS "" CACHE INTERNAL "")

function(vdisk_folder path)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  string(REPLACE "/" "_" name ${path})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${path}/*.cc)
  if(path STREQUAL disk)
    file(GLOB more CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/disk/ops/*.cc)
    list(APPEND sources ${more})
  endif()
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "/(main|plugin)\\.cc$")

  if(sources)
    add_library(vdisk_${name} OBJECT ${sources})
    set(scope PUBLIC)
  else()
    add_library(vdisk_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(vdisk_${name} ${scope} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(vdisk_${name} ${scope} vdisk_flags)
  # Object libraries pass on usage requirements only; programs link the archive made of all of them (products.cmake).
  foreach(below ${ARG_DEPENDS})
    string(REPLACE "/" "_" below ${below})
    target_link_libraries(vdisk_${name} ${scope} vdisk_${below})
  endforeach()

  if(VDISK_BUILD_TESTS AND tests)
    set(VDISK_TEST_FOLDERS "${VDISK_TEST_FOLDERS};${name}" CACHE INTERNAL "")
    set(VDISK_TESTS_${name} "${tests}" CACHE INTERNAL "")
  endif()
endfunction()
