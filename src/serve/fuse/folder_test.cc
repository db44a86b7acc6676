// SPDX-License-Identifier: Apache-2.0
//
// Requests that the kernel of this machine never sends, given to the folder by hand.
#include "serve/fuse/folder.h"

#include <gtest/gtest.h>
#include <linux/falloc.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "serve/errno_of.h"
#include "serve/fuse/fuse_test_support.h"

namespace vdisk::serve::fuse {
namespace {

using vdisk::testing::TempFolder;

constexpr std::uint64_t kDiskBytes = 4 * kMiB;

template <class T>
std::vector<std::byte> message(std::uint32_t opcode, std::uint64_t node, const T& argument,
                               std::size_t more = 0) {
  std::vector<std::byte> bytes(sizeof(fuse_in_header) + sizeof argument + more);
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(bytes.size());
  header.opcode = opcode;
  header.nodeid = node;
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, &argument, sizeof argument);
  return bytes;
}

class FolderTest : public ::testing::Test {
 protected:
  Answer ask(const std::vector<std::byte>& bytes) {
    const auto request = parse_request(bytes);
    EXPECT_TRUE(request);
    return request ? folder_.answer(*request, out_) : Answer{};
  }
  template <class T>
  T answered() const {
    T value;
    std::memcpy(&value, out_.data(), sizeof value);
    return value;
  }

  TempFolder temp_;
  const Disk disk_ = make_disk(temp_.path("disk.vhdx"), dynamic_disk(FormatId::kVhdx, kDiskBytes));
  Folder folder_{{{"disk.raw", &disk_, {{}, kDiskBytes}, false}}, {}};
  std::vector<std::byte> out_ = std::vector<std::byte>(kMostPayloadBytes);
};

TEST_F(FolderTest, LengthsThatDoNotFitAreNoRequests) {
  std::vector<std::byte> bytes = message(FUSE_GETATTR, 2, fuse_getattr_in{});
  EXPECT_TRUE(parse_request(bytes));
  bytes.push_back({});
  EXPECT_FALSE(parse_request(bytes));
  EXPECT_FALSE(parse_request(std::span(bytes).first(39)));
  EXPECT_FALSE(parse_request({}));
  bytes.pop_back();
  const std::uint16_t extensions = 3;  // 24 bytes, of which 16 are there
  std::memcpy(bytes.data() + offsetof(fuse_in_header, total_extlen), &extensions, sizeof extensions);
  EXPECT_FALSE(parse_request(bytes));
}

TEST_F(FolderTest, ArgumentsThatAreCutOffAreErrors) {
  for (const std::uint32_t opcode : {FUSE_INIT, FUSE_SETATTR, FUSE_OPEN, FUSE_READ, FUSE_WRITE,
                                     FUSE_FALLOCATE, FUSE_LSEEK, FUSE_READDIR, FUSE_READDIRPLUS}) {
    EXPECT_EQ(ask(message(opcode, 2, std::uint32_t{1})).error, EIO) << opcode;
  }
  fuse_write_in write{};
  write.size = 4096;
  EXPECT_EQ(ask(message(FUSE_WRITE, 2, write, 100)).error, EIO);
}

TEST_F(FolderTest, NodesThatAreNoneAreErrors) {
  for (const std::uint64_t node : {std::uint64_t{0}, std::uint64_t{3}, ~std::uint64_t{0}}) {
    EXPECT_EQ(ask(message(FUSE_GETATTR, node, fuse_getattr_in{})).error, ENOENT) << node;
    EXPECT_EQ(ask(message(FUSE_READ, node, fuse_read_in{})).error, ENOENT) << node;
    EXPECT_EQ(ask(message(FUSE_OPEN, node, fuse_open_in{})).error, ENOENT) << node;
  }
  EXPECT_EQ(ask(message(FUSE_READ, FUSE_ROOT_ID, fuse_read_in{})).error, EISDIR);
  EXPECT_EQ(ask(message(FUSE_OPENDIR, 2, fuse_open_in{})).error, ENOTDIR);
  EXPECT_EQ(ask(message(FUSE_LOOKUP, 2, "disk.raw")).error, ENOTDIR);
}

TEST_F(FolderTest, RangesThatOverflowAreErrors) {
  fuse_fallocate_in clear{};
  clear.offset = ~std::uint64_t{0} - 10;
  clear.length = 100;
  clear.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  EXPECT_EQ(ask(message(FUSE_FALLOCATE, 2, clear)).error, EFBIG);
  fuse_read_in read{};
  read.offset = ~std::uint64_t{0};
  read.size = 4096;
  const Answer nothing = ask(message(FUSE_READ, 2, read));
  EXPECT_EQ(nothing.error, 0);
  EXPECT_EQ(nothing.bytes, 0U);
  read.size = kMostPayloadBytes + 1;
  EXPECT_EQ(ask(message(FUSE_READ, 2, read)).error, EINVAL);
}

TEST_F(FolderTest, WhatIsNotKnownIsNotThere) {
  for (const std::uint32_t opcode : {0U, std::uint32_t{FUSE_CREATE}, std::uint32_t{FUSE_IOCTL}, 4096U, ~0U}) {
    EXPECT_EQ(ask(message(opcode, 2, std::uint64_t{0})).error, ENOSYS) << opcode;
  }
  EXPECT_TRUE(ask(message(FUSE_FORGET, 2, fuse_forget_in{})).silent);
  EXPECT_TRUE(ask(message(FUSE_INTERRUPT, 2, fuse_interrupt_in{})).silent);
}

TEST_F(FolderTest, VersionsAreAgreedUpon) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION + 1;
  EXPECT_EQ(ask(message(FUSE_INIT, 0, in)).error, 0);
  EXPECT_EQ(answered<fuse_init_out>().major, 7U);
  in.major = 7;
  in.minor = kLeastMinor - 1;
  EXPECT_EQ(ask(message(FUSE_INIT, 0, in)).error, EPROTO);
  in.minor = 45;
  in.flags = ~0U;
  in.flags2 = ~0U;
  EXPECT_EQ(ask(message(FUSE_INIT, 0, in)).error, 0);
  const auto out = answered<fuse_init_out>();
  EXPECT_EQ(out.max_write, kMostPayloadBytes);
  EXPECT_EQ(out.flags & FUSE_WRITEBACK_CACHE, 0U);
  EXPECT_EQ(out.flags2, static_cast<std::uint32_t>(kHasResend >> 32));
  // Without the flag that says so, the second word means nothing.
  in.flags &= ~std::uint32_t{FUSE_INIT_EXT};
  EXPECT_EQ(ask(message(FUSE_INIT, 0, in)).error, 0);
  EXPECT_EQ(answered<fuse_init_out>().flags2, 0U);
}

TEST(ErrnoOf, SaysWhatFilesWouldSay) {
  EXPECT_EQ(errno_of(112), ENOSPC);
  EXPECT_EQ(errno_of(19), EROFS);
  EXPECT_EQ(errno_of(8), ENOMEM);
  EXPECT_EQ(errno_of(1117), EIO);
  EXPECT_EQ(errno_of(0xC03A0001), EIO);
}

}  // namespace
}  // namespace vdisk::serve::fuse
