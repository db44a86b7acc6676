# SPDX-License-Identifier: Apache-2.0
#
# What is built from the folders.
set(VDISK_ENGINE_FOLDERS base io format format_raw format_vhd format_vhdx format_vhdset format_iso chain disk attach)

# Everything but the C API and the tool, as one archive: what tests, benches and the tool link.
add_library(vdisk_engine STATIC)
foreach(folder ${VDISK_ENGINE_FOLDERS})
  get_target_property(type vdisk_${folder} TYPE)
  if(type STREQUAL OBJECT_LIBRARY)
    target_sources(vdisk_engine PRIVATE $<TARGET_OBJECTS:vdisk_${folder}>)
  endif()
endforeach()
set_target_properties(vdisk_engine PROPERTIES LINKER_LANGUAGE CXX)
target_include_directories(vdisk_engine PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(vdisk_engine PUBLIC vdisk_flags fmt::fmt ${ISAL_LIBRARY} Threads::Threads)

# Test programs: one per folder.
if(VDISK_BUILD_TESTS)
  add_library(vdisk_test_support STATIC)
  get_target_property(type vdisk_testing TYPE)
  if(type STREQUAL OBJECT_LIBRARY)
    target_sources(vdisk_test_support PRIVATE $<TARGET_OBJECTS:vdisk_testing>)
  endif()
  set_target_properties(vdisk_test_support PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(vdisk_test_support PUBLIC vdisk_engine GTest::gmock GTest::gtest GTest::gtest_main)
  foreach(folder ${VDISK_TEST_FOLDERS})
    add_executable(${folder}_test ${VDISK_TESTS_${folder}})
    target_link_libraries(${folder}_test PRIVATE vdisk_test_support)
    if(folder STREQUAL cli OR folder STREQUAL capi)
      target_link_libraries(${folder}_test PRIVATE vdisk_${folder})
      target_sources(${folder}_test PRIVATE $<TARGET_OBJECTS:vdisk_${folder}>)
    endif()
    add_test(NAME ${folder} COMMAND ${folder}_test)
  endforeach()
endif()

# The tool. `vdisk open` is a client of the C API.
add_executable(vdisk ${PROJECT_SOURCE_DIR}/src/cli/main.cc $<TARGET_OBJECTS:vdisk_cli> $<TARGET_OBJECTS:vdisk_capi>)
target_link_libraries(vdisk PRIVATE vdisk_engine)
