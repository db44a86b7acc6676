// SPDX-License-Identifier: Apache-2.0
#include "attach/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>

#include "attach/at_boot.h"
#include "attach/faults.h"
#include "base/fault.h"
#include "base/unique_fd.h"
#include "serve/fuse/faults.h"
#include "testing/temp_folder.h"

namespace vdisk::attach {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

AttachRequest full_request() {
  AttachRequest request;
  request.path = "/images/ä%\n=disk.vhdx";
  AttachOptions& options = request.options;
  options.open.format = FormatId::kVhdx;
  options.open.writable = false;
  options.open.no_parents = true;
  options.open.parents.directories = {"/a", "/b=c"};
  options.open.parents.drive_map = {{"C:", "/c"}, {"\\\\server\\share", "/share"}};
  options.open.parents.confine = true;
  options.open.parents.ignore_relative = true;
  options.open.parents.allow_raw = true;
  options.open.limits = {.chain_depth = 3, .log_bytes = 4, .table_bytes = 5};
  options.open.strict_tracking = true;
  options.read_only = true;
  options.permanent = true;
  options.partitions = false;
  options.provider = AttachProvider::kFuse;
  options.range = DiskRange{{512}, 1024};
  return request;
}

TEST(Fields, TextIsTakenBackAsItWas) {
  Fields fields;
  fields.add("path", std::string_view("a=b%\n\x01"));
  fields.add("number", std::uint64_t{18446744073709551615U});
  fields.add("flag", true);
  fields.add("twice", std::string_view("1"));
  fields.add("twice", std::string_view("2"));
  const auto back = Fields::parse(fields.format());
  ASSERT_TRUE(back);
  EXPECT_EQ(back->format(), fields.format());
  EXPECT_EQ(back->text("path"), "a=b%\n\x01");
  EXPECT_EQ(back->number<std::uint64_t>("number"), 18446744073709551615U);
  EXPECT_EQ(back->number<std::uint32_t>("number"), std::nullopt);
  EXPECT_EQ(back->flag("flag"), true);
  EXPECT_EQ(back->flag("number"), std::nullopt);
  EXPECT_EQ(back->text("twice"), std::nullopt);
  EXPECT_THAT(back->all("twice"), ElementsAre("1", "2"));
  EXPECT_FALSE(back->has("other"));
}

TEST(Fields, WhatIsNoTextIsRefused) {
  for (const std::string text :
       {"no end", "no equals\nkey=1\n", "a=%\n", "a=%0\n", "a=%zz\n", "a=%00\n", "a=\x01\n"}) {
    EXPECT_FALSE(Fields::parse(text)) << text;
  }
  EXPECT_TRUE(Fields::parse(""));
}

TEST(Message, RequestsTravelWhole) {
  const AttachRequest request = full_request();
  const auto back = parse_request(to_fields(request));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_fields(*back).format(), to_fields(request).format());
  EXPECT_EQ(back->options.range, request.options.range);
  EXPECT_EQ(back->options.open.parents.drive_map, request.options.open.parents.drive_map);
  EXPECT_FALSE(back->options.open.writable);

  AttachRequest plain{.path = "/x", .options = {}};
  const auto writable = parse_request(to_fields(plain));
  ASSERT_TRUE(writable);
  EXPECT_TRUE(writable->options.open.writable);
  EXPECT_EQ(writable->options.open.format, std::nullopt);
}

TEST(Message, EveryLineOfARequestIsNeededOrJudged) {
  const std::string good = to_fields(full_request()).format();
  for (const std::string_view key : {"path", "no_parents", "confine", "chain_depth", "read_only", "permanent",
                                     "partitions", "provider", "range_length", "drive_folder"}) {
    std::string text = good;
    const std::string line = std::string(key) + "=";
    const auto at = text.starts_with(line) ? 0 : text.find("\n" + line) + 1;
    text.erase(at, text.find('\n', at) + 1 - at);
    const auto fields = Fields::parse(text);
    ASSERT_TRUE(fields) << key;
    EXPECT_FALSE(parse_request(*fields)) << key;
  }
  Fields fields = to_fields(AttachRequest{.path = "/x", .options = {}});
  fields.add("format", std::string_view("tar"));
  EXPECT_FALSE(parse_request(fields));
}

TEST(Message, EveryFaultIsFoundAgainOnTheOtherSide) {
  const auto travels = [](FaultTable rows) {
    for (const Fault* row : rows) {
      Error error(*row, "what and where", 5);
      error.add_context("inner");
      error.add_context("outer");
      const Error back = parse_error(to_fields(error));
      EXPECT_EQ(back.id(), row->id);
      EXPECT_EQ(back.code(), row->code);
      EXPECT_EQ(back.os_errno(), 5);
      EXPECT_EQ(back.message(), error.message());
      EXPECT_EQ(back.reason(), error.reason());
    }
  };
  travels(faults::kAll);
  travels(vdisk::faults::kBase);
  Fields foreign;
  foreign.add("error", std::string_view("later.version"));
  foreign.add("reason", std::string_view("who knows"));
  EXPECT_EQ(parse_error(foreign).id(), faults::kForeignAnswer.id);
  EXPECT_EQ(parse_error(foreign).reason(), "who knows");
}

TEST(Message, ASocketsEndAndGarbageAreTold) {
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()), 0);
  const UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  EXPECT_EQ(receive_message(ours.get(), 1).error().id(), faults::kServerDied.id) << "silence";
  Fields fields;
  fields.add("key", std::string_view("value"));
  EXPECT_TRUE(send_message(theirs.get(), fields));
  EXPECT_EQ(receive_message(ours.get(), -1)->text("key"), "value");
  ASSERT_EQ(::send(theirs.get(), "garbage", 7, 0), 7);
  EXPECT_EQ(receive_message(ours.get(), -1).error().id(), faults::kForeignAnswer.id);
  theirs.reset();
  EXPECT_FALSE(send_message(ours.get(), fields));
  EXPECT_EQ(receive_message(ours.get(), -1).error().id(), faults::kServerDied.id);
}

TEST(AtBoot, WhatIsRememberedIsForgotten) {
  const testing::TempFolder folder;
  ::setenv("VDISK_STATE_DIR", folder.path("state").c_str(), 1);
  EXPECT_THAT(remembered_at_boot(), IsEmpty());
  EXPECT_TRUE(forget_at_boot("/never/attached"));
  AttachRequest one = full_request();
  AttachRequest two{.path = "/other/disk.vhdx", .options = {}};
  ASSERT_TRUE(remember_at_boot(one));
  ASSERT_TRUE(remember_at_boot(two));
  ASSERT_TRUE(remember_at_boot(two)) << "twice is once";
  ASSERT_EQ(remembered_at_boot().size(), 2U);
  EXPECT_TRUE(forget_at_boot(one.path));
  ASSERT_EQ(remembered_at_boot().size(), 1U);
  EXPECT_EQ(to_fields(remembered_at_boot().front()).format(), to_fields(two).format());
  ::unsetenv("VDISK_STATE_DIR");
}

}  // namespace
}  // namespace vdisk::attach
