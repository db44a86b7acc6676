// SPDX-License-Identifier: Apache-2.0
//
// The plugin as nbdkit calls it, in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <vdisk/operations.h>

#include <cerrno>
#include <random>
#include <thread>

#include "base/checked.h"
#include "serve/nbd/errno_of.h"
#include "serve/nbd/faults.h"
#include "serve/nbd/served_image.h"
#include "serve/nbd/test_nbdkit.h"
#include "testing/heap_counter.h"
#include "testing/temp_folder.h"

namespace vdisk::serve::nbd {
namespace {

using ::testing::HasSubstr;
using vdisk::testing::TempFolder;

constexpr std::uint64_t kSize = 8 * kMiB;

struct Shape {
  std::string name;
  std::uint32_t block_bytes = 0;
  std::uint32_t sector_bytes = 0;
  DiskType type = DiskType::kDynamic;
};

void make(const std::string& path, const Shape& shape, const std::string& parent = "") {
  CreateOptions options;
  options.parent = parent;
  if (parent.empty()) {
    options.type = shape.type;
    options.virtual_size_bytes = kSize;
    options.logical_sector_bytes = shape.sector_bytes;
    options.preallocation =
        shape.type == DiskType::kFixed ? std::optional(Preallocation::kNone) : std::nullopt;
  }
  options.block_bytes = shape.block_bytes;
  const Status made = create(path, options);
  ASSERT_TRUE(made) << made.error().message();
}

std::vector<std::byte> content_of(const std::string& path) {
  const auto disk = Disk::open(path, {});
  EXPECT_TRUE(disk) << disk.error().message();
  std::vector<std::byte> bytes(disk->geometry().virtual_size_bytes);
  EXPECT_TRUE(disk->read({0}, bytes));
  return bytes;
}

void expect_sound(const std::string& path) {
  const auto report = check(path, {}, true, {});
  ASSERT_TRUE(report) << report.error().message();
  // Blocks that were given up may lie in the middle of the file.
  EXPECT_FALSE(report->damaged()) << report->findings.front().message;
}

Request random_request(std::mt19937_64& random) {
  constexpr std::uint32_t kAllFlags = NBDKIT_FLAG_MAY_TRIM | NBDKIT_FLAG_REQ_ONE | NBDKIT_FLAG_FAST_ZERO;
  Request request{.kind = static_cast<Request::Kind>(random() % Request::kKinds),
                  .at = random(),
                  .length = static_cast<std::uint32_t>(random() % (1 << random() % 22)),
                  .fill = static_cast<std::uint8_t>(random()),
                  .flags = static_cast<std::uint32_t>(random()) & kAllFlags};
  if (random() % 2 == 0) {
    const std::uint64_t unit = random() % 2 == 0 ? 4096 : kMiB;
    request.at = request.at % kSize / unit * unit;
    request.length = static_cast<std::uint32_t>(round_up(request.length, unit));
  }
  return request;
}

class PluginModel : public ::testing::TestWithParam<Shape> {};

TEST_P(PluginModel, ShowsWhatWasWritten) {
  const TempFolder folder;
  const bool vhd = GetParam().name.ends_with("vhd");
  const std::string suffix = vhd ? ".vhd" : ".vhdx";
  std::string path = folder.path("base" + suffix);
  make(path, GetParam());
  std::mt19937_64 random(17);
  std::vector<std::byte> expected;
  // The same again with the disk as the parent of a new one, three deep.
  const int depth = GetParam().type == DiskType::kFixed && vhd ? 1 : 3;
  for (int layer = 0; layer < depth; ++layer) {
    if (layer != 0) {
      const std::string child = folder.path(fmt::format("child{}{}", layer, suffix));
      make(child, {.name = "", .block_bytes = vhd ? 0 : GetParam().block_bytes}, path);
      path = child;
    }
    Host host;
    ASSERT_TRUE(host.start({{"file", path}})) << told.message;
    void* handle = host.connect();
    ASSERT_NE(handle, nullptr) << told.message;
    EXPECT_EQ(host.plugin.can_write(handle), 1);
    ModelClient client(host.plugin, handle);
    EXPECT_TRUE(layer == 0 || client.shown() == expected);
    for (int i = 0; i < 100; ++i) client.perform(random_request(random));
    expected = client.shown();
    host.plugin.close(handle);
  }
  EXPECT_TRUE(content_of(path) == expected);
  expect_sound(path);
}

INSTANTIATE_TEST_SUITE_P(Formats, PluginModel,
                         ::testing::Values(Shape{.name = "vhdx", .block_bytes = kMiB},
                                           Shape{.name = "vhdx", .block_bytes = 2 * kMiB},
                                           Shape{.name = "vhdx", .block_bytes = kMiB, .sector_bytes = 4096},
                                           Shape{.name = "vhdx", .type = DiskType::kFixed},
                                           Shape{.name = "vhd", .block_bytes = 512 * kKiB},
                                           Shape{.name = "vhd", .type = DiskType::kFixed}),
                         [](const auto& shape) {
                           return fmt::format("{}_{}_{}_{}", shape.param.name, to_string(shape.param.type),
                                              shape.param.block_bytes, shape.param.sector_bytes);
                         });

class PluginTest : public ::testing::Test {
 protected:
  PluginTest() { make(path_, {.name = "", .block_bytes = kMiB}); }
  const TempFolder folder_;
  const std::string path_ = folder_.path("disk.vhdx");
};

TEST_F(PluginTest, RefusesParametersThatMeanNothing) {
  Host host;
  EXPECT_FALSE(host.start({{"colour", "red"}}));
  EXPECT_THAT(told.message, HasSubstr("'colour'"));
  EXPECT_FALSE(host.start({{"format", "qcow2"}}));
  EXPECT_THAT(told.message, HasSubstr("qcow2"));
  EXPECT_FALSE(host.start({{"map-drive", "C:"}}));
  EXPECT_FALSE(host.start({{"confine", "perhaps"}}));
  EXPECT_FALSE(host.start({}));
  EXPECT_THAT(told.message, HasSubstr("file=IMAGE"));
}

TEST_F(PluginTest, TakesItsParameters) {
  Host host;
  ASSERT_TRUE(host.start({{"parent-dir", "."},
                          {"map-drive", "C:=."},
                          {"confine", "true"},
                          {"allow-raw-parent", "false"},
                          {"format", "vhdx"},
                          {"file", path_}}))
      << told.message;
}

TEST_F(PluginTest, RefusesDamageBeforeThereIsASocket) {
  std::vector<std::byte> bytes(4 * kMiB);
  std::ranges::copy(std::as_bytes(std::span("vhdxfile", 8)), bytes.begin());
  Host host;
  EXPECT_FALSE(host.start({{"file", folder_.save("bad.vhdx", bytes)}}));
  EXPECT_THAT(told.message, HasSubstr("bad.vhdx"));
  EXPECT_EQ(told.error, EIO);
}

TEST_F(PluginTest, ReadOnlyClientsCannotWriteAndLeaveTheFileAlone) {
  const auto before = vdisk::testing::state_of(path_);
  {
    Host host;
    ASSERT_TRUE(host.start({{"file", path_}}));
    void* handle = host.connect("", true);
    ASSERT_NE(handle, nullptr);
    EXPECT_EQ(host.plugin.can_write(handle), 0);
    const std::vector<std::byte> sector(512);
    EXPECT_EQ(host.plugin.pwrite(handle, sector.data(), 512, 0, 0), -1);
    EXPECT_EQ(told.error, EPERM);
    host.plugin.close(handle);
  }
  EXPECT_EQ(vdisk::testing::state_of(path_), before);
}

TEST_F(PluginTest, TheFirstWriterLocksTheImage) {
  Host host;
  ASSERT_TRUE(host.start({{"file", path_}}));
  ASSERT_TRUE(Disk::open(path_, {})) << "so far it is only read";
  void* handle = host.connect();
  ASSERT_NE(handle, nullptr);
  EXPECT_EQ(Disk::open(path_, {}).error().code(), 32U);
  void* second = host.connect();
  ASSERT_NE(second, nullptr) << told.message;
  EXPECT_EQ(host.plugin.can_multi_conn(second), 1);
  host.plugin.close(second);
  host.plugin.close(handle);
}

TEST_F(PluginTest, AWriterThatCannotHaveTheImageIsToldWhy) {
  Host host;
  ASSERT_TRUE(host.start({{"file", path_}}));
  const auto other = Disk::open(path_, {});
  ASSERT_TRUE(other);
  EXPECT_EQ(host.connect(), nullptr);
  EXPECT_THAT(told.message, HasSubstr("another program reads it"));
  EXPECT_EQ(told.error, EPERM);
}

TEST_F(PluginTest, ParentsAreExportsOfTheirOwn) {
  const std::string child = folder_.path("child.vhdx");
  {
    Host host;
    ASSERT_TRUE(host.start({{"file", path_}}));
    void* handle = host.connect();
    ModelClient client(host.plugin, handle);
    client.perform({.kind = Request::Kind::kWrite, .at = 1000, .length = 3000, .fill = 5});
    host.plugin.close(handle);
  }
  make(child, {.name = "", .block_bytes = kMiB}, path_);
  Host host;
  ASSERT_TRUE(host.start({{"file", child}}));
  void* handle = host.connect();
  ASSERT_NE(handle, nullptr) << told.message;
  ModelClient client(host.plugin, handle);
  client.perform({.kind = Request::Kind::kZero, .at = 0, .length = 2 * kMiB});
  void* parent = host.connect("layer1");
  ASSERT_NE(parent, nullptr) << told.message;
  EXPECT_EQ(host.plugin.can_write(parent), 0);
  std::vector<std::byte> bytes(3000);
  EXPECT_EQ(host.plugin.pread(parent, bytes.data(), 3000, 1000, 0), 0);
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{5}; }));

  nbdkit_exports exports;
  ASSERT_EQ(host.plugin.list_exports(0, 0, &exports), 0);
  ASSERT_EQ(exports.rows.size(), 2U);
  EXPECT_EQ(exports.rows[0].first, host.plugin.default_export(0, 0));
  EXPECT_EQ(exports.rows[1].first, "layer1");
  EXPECT_THAT(exports.rows[1].second, HasSubstr("disk.vhdx"));
  for (const char* name : {"layer2", "layer0", "layer01", "layer", "layer1x", "Layer1", "partition", "x"}) {
    EXPECT_EQ(host.connect(name), nullptr) << name;
    EXPECT_THAT(told.message, HasSubstr(name));
  }
  host.plugin.close(parent);
  host.plugin.close(handle);
}

TEST_F(PluginTest, SaysHowLargeRequestsShouldBe) {
  const std::string large = folder_.path("4k.vhdx");
  make(large, {.name = "", .block_bytes = kMiB, .sector_bytes = 4096});
  for (const auto& [path, sector] : {std::pair{path_, 512U}, std::pair{large, 4096U}}) {
    Host host;
    ASSERT_TRUE(host.start({{"file", path}}));
    void* handle = host.connect("", true);
    std::uint32_t minimum = 0, preferred = 0, maximum = 0;
    ASSERT_EQ(host.plugin.block_size(handle, &minimum, &preferred, &maximum), 0);
    EXPECT_EQ(minimum, sector);
    EXPECT_EQ(preferred, 4096U);
    EXPECT_EQ(maximum, 32 * kMiB);
    EXPECT_EQ(host.plugin.get_size(handle), static_cast<std::int64_t>(kSize));
    EXPECT_EQ(host.plugin.is_rotational(handle), 0);
    host.plugin.close(handle);
  }
}

TEST_F(PluginTest, AFastZeroChangesMetadataAlone) {
  Host host;
  ASSERT_TRUE(host.start({{"file", path_}}));
  void* handle = host.connect();
  ModelClient client(host.plugin, handle);
  client.perform({.kind = Request::Kind::kWrite, .at = 0, .length = 2 * kMiB, .fill = 1});
  const auto fast_zero = [&](std::uint64_t at, std::uint32_t length, std::uint32_t flags) {
    told.error = 0;
    const int result = host.plugin.zero(handle, length, at, flags | NBDKIT_FLAG_FAST_ZERO);
    return result == 0 ? 0 : told.error;
  };
  EXPECT_EQ(fast_zero(0, kMiB, NBDKIT_FLAG_MAY_TRIM), 0) << "a whole block";
  EXPECT_EQ(fast_zero(0, kMiB, 0), 0) << "zeros already";
  EXPECT_EQ(fast_zero(kMiB, kMiB, 0), ENOTSUP) << "space that is to be kept";
  EXPECT_EQ(fast_zero(kMiB, 512, NBDKIT_FLAG_MAY_TRIM), ENOTSUP) << "a part of a block";
  EXPECT_EQ(fast_zero(kSize - 512, 512, 0), 0) << "never written";
  host.plugin.close(handle);
}

TEST_F(PluginTest, ExhaustedMemoryIsAnErrorAndNoException) {
  Host host;
  ASSERT_TRUE(host.start({{"file", path_}}));
  void* handle = host.connect();
  std::vector<std::byte> bytes(1000);
  told.message.reserve(4096);
  int failures = 0;
  const auto with_failing_allocation = [&](auto&& call) {
    for (std::int64_t n = 0; n < 100; ++n) {
      vdisk::testing::fail_allocation(n);
      const int result = call();
      if (vdisk::testing::cancel_failing_allocation()) break;
      failures += result == -1 ? 1 : 0;
      EXPECT_TRUE(result == 0 || told.error == ENOMEM);
    }
  };
  nbdkit_extents extents;
  extents.rows.reserve(1000);
  with_failing_allocation([&] { return host.plugin.pwrite(handle, bytes.data(), 1000, 100, 0); });
  with_failing_allocation([&] { return host.plugin.extents(handle, 1 << 20, 0, 0, &extents); });
  EXPECT_GT(failures, 1);
  host.plugin.close(handle);
}

// Many threads change their own bytes of the same sectors, some of them whole sectors beside; nobody's are
// lost.
TEST_F(PluginTest, ThreadsThatShareSectorsLoseNothing) {
  constexpr unsigned kThreads = 4;
  constexpr unsigned kRounds = 60;
  constexpr unsigned kSectors = 64;
  Host host;
  ASSERT_TRUE(host.start({{"file", path_}}));
  void* handle = host.connect();
  {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        std::mt19937_64 random(thread);
        for (unsigned i = 0; i < kRounds; ++i) {
          // Sectors with even numbers are shared, those with odd ones belong to one thread.
          const auto value = static_cast<std::uint8_t>(i + 1);
          for (unsigned sector = 0; sector < kSectors; ++sector) {
            const bool shared = sector % 2 == 0;
            if (!shared && sector / 2 % kThreads != thread) continue;
            const std::uint32_t length = shared ? 512 / kThreads : 512;
            const std::vector<std::byte> bytes(length, std::byte{value});
            const std::uint64_t at = sector * 512 + (shared ? thread * length : 0);
            EXPECT_EQ(host.plugin.pwrite(handle, bytes.data(), length, at, 0), 0);
          }
          if (random() % 16 == 0) {
            EXPECT_EQ(host.plugin.flush(handle, 0), 0);
          }
        }
      });
    }
  }
  std::vector<std::byte> bytes(kSectors * 512);
  ASSERT_EQ(host.plugin.pread(handle, bytes.data(), kSectors * 512, 0, 0), 0);
  EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{kRounds}; }));
  host.plugin.close(handle);
}

TEST(ErrnoOf, SpeaksTheProtocolsNumbers) {
  const auto number = [](Win32Code code) {
    const Fault fault{"test.errno", code, "A test."};
    return errno_of(Error(fault, "test"));
  };
  EXPECT_EQ(number(19), EPERM);
  EXPECT_EQ(number(5), EPERM);
  EXPECT_EQ(number(8), ENOMEM);
  EXPECT_EQ(number(87), EINVAL);
  EXPECT_EQ(number(112), ENOSPC);
  EXPECT_EQ(number(50), ENOTSUP);
  EXPECT_EQ(number(1117), EIO);
  EXPECT_EQ(number(0xC03A000A), EIO);
}

}  // namespace
}  // namespace vdisk::serve::nbd
