// SPDX-License-Identifier: Apache-2.0
#include "io/host_volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace vdisk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kMountinfo =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "not a line of mountinfo\n"
    "40 22 0:45 / /mnt/with\\040space rw - nfs4 files.example:/export "
    "rw,vers=4.2,addr=192.0.2.7,clientaddr=192.0.2.9\n"
    "41 22 0:46 / /mnt/v6 rw - nfs [fe80::1]:/export rw,addr=fe80::1%eth0\n"
    "42 22 0:47 /sub /mnt/smb rw master:3 - cifs //NAS/share rw,addr=10.1.2.3\n"
    "43 22 0:48 / /mnt/ssh rw,nosuid - fuse.sshfs root@localhost:/srv rw,user_id=0\n"
    "44 22 0:49 / /mnt/nine rw - 9p 10.0.2.2 rw,trans=tcp\n"
    "45 22 0:50 / /mnt/virt rw - 9p tag rw,trans=virtio\n"
    "46 22 0:51 / /mnt/b rw - btrfs /dev/sdb rw,compress=zstd:3,space_cache=v2\n"
    "47 22 0:52 / /mnt/c rw - btrfs /dev/sdc rw,compress-force=lzo\n"
    "48 22 0:53 / /mnt/d rw - btrfs /dev/sdd rw,compress=no\n";

TEST(MountinfoTest, Parses) {
  const auto mounts = parse_mountinfo(kMountinfo);
  ASSERT_EQ(mounts.size(), 10U);
  EXPECT_EQ(mounts[0].id, 22U);
  EXPECT_EQ(mounts[0].type, "ext4");
  EXPECT_EQ(mounts[0].source, "/dev/vda1");
  EXPECT_EQ(mounts[1].mount_point, "/mnt/with space");
  EXPECT_EQ(mounts[3].mount_point, "/mnt/smb");
  EXPECT_THAT(parse_mountinfo(""), IsEmpty());
  EXPECT_THAT(parse_mountinfo("1 2 3 4"), IsEmpty());
  EXPECT_THAT(parse_mountinfo("1 2 3 4 /m rw - "), IsEmpty());
}

TEST(MountinfoTest, ServersOfNetworkMounts) {
  const auto mounts = parse_mountinfo(kMountinfo);
  EXPECT_THAT(servers_of(mounts[0]), IsEmpty());
  EXPECT_THAT(servers_of(mounts[1]), ElementsAre("192.0.2.7", "files.example"));
  EXPECT_THAT(servers_of(mounts[2]), ElementsAre("fe80::1%eth0", "[fe80::1]"));
  EXPECT_THAT(servers_of(mounts[3]), ElementsAre("10.1.2.3", "NAS"));
  EXPECT_THAT(servers_of(mounts[4]), ElementsAre("localhost"));
  EXPECT_THAT(servers_of(mounts[5]), ElementsAre("10.0.2.2"));
  EXPECT_THAT(servers_of(mounts[6]), IsEmpty());
}

TEST(MountinfoTest, CompressionByMountOption) {
  const auto mounts = parse_mountinfo(kMountinfo);
  EXPECT_FALSE(mount_compresses(mounts[0]));
  EXPECT_TRUE(mount_compresses(mounts[7]));
  EXPECT_TRUE(mount_compresses(mounts[8]));
  EXPECT_FALSE(mount_compresses(mounts[9]));
}

TEST(SameHostTest, NamesAndAddresses) {
  const LocalHost host{.name = "Box", .addresses = {"192.0.2.7", "fe80::1", "2001:db8::7"}};
  for (const char* same :
       {"localhost", "LOCALHOST", "localhost.", "127.0.0.1", "127.3.2.1", "::1", "[::1]", "box", "BOX",
        "box.example.org", "192.0.2.7", "::ffff:192.0.2.7", "fe80::1%eth0", "[2001:db8:0::7]"}) {
    EXPECT_TRUE(is_same_host(same, host)) << same;
  }
  for (const char* other : {"files.example", "192.0.2.8", "::2", "", "box2", "notlocalhost", "128.0.0.1"}) {
    EXPECT_FALSE(is_same_host(other, host)) << other;
  }
  const LocalHost full{.name = "box.example.org", .addresses = {}};
  EXPECT_TRUE(is_same_host("box", full));
  EXPECT_FALSE(is_same_host("box.example.com", full));
}

TEST(SameHostTest, ThisHostKnowsItsLoopback) {
  const LocalHost host = this_host();
  EXPECT_FALSE(host.name.empty());
  EXPECT_THAT(host.addresses, ::testing::Contains("127.0.0.1"));
}

bool run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()) == 0; }

// A file system of its own on a loop device, where the machine lets us.
class HostVolumeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_volume_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    mount_ = folder_ + "/mount";
    std::filesystem::create_directory(mount_);
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_TRUE(run("umount " + mount_));
    }
    std::filesystem::remove_all(folder_);
  }
  bool mount(const std::string& make, const std::string& options) {
    if (::geteuid() != 0) return false;
    const std::string image = folder_ + "/image";
    mounted_ = run("truncate -s 128M " + image) && run(make + " " + image) &&
               run("mount -o " + options + " " + image + " " + mount_);
    return mounted_;
  }
  std::string write(const std::string& name) {
    std::ofstream(mount_ + "/" + name) << std::string(65536, 'a');
    return mount_ + "/" + name;
  }

  std::string folder_, mount_;
  bool mounted_ = false;
};

TEST_F(HostVolumeTest, AnOrdinaryFileHasNoFacts) {
  const HostVolumeFacts facts = probe_host_volume(write("plain"));
  EXPECT_FALSE(facts.compressed || facts.encrypted || facts.loopback_share);
  const HostVolumeFacts missing = probe_host_volume(mount_ + "/missing");
  EXPECT_FALSE(missing.compressed || missing.encrypted || missing.loopback_share ||
               missing.volume_compressed);
  EXPECT_EQ(missing.why, "");
}

TEST_F(HostVolumeTest, BtrfsFilesMarkedForCompression) {
  if (!mount("mkfs.btrfs -q", "loop")) GTEST_SKIP() << "SKIPPED: a btrfs cannot be mounted here";
  EXPECT_FALSE(probe_host_volume(write("plain")).compressed);
  ASSERT_TRUE(run("mkdir " + mount_ + "/c && chattr +c " + mount_ + "/c"));
  const HostVolumeFacts marked = probe_host_volume(write("c/file"));
  EXPECT_TRUE(marked.compressed);
  EXPECT_FALSE(marked.volume_compressed);
  EXPECT_THAT(marked.why, HasSubstr("compressed"));
  EXPECT_TRUE(probe_host_volume(mount_ + "/c").compressed);
  ASSERT_TRUE(run("mkdir " + mount_ + "/p && btrfs property set " + mount_ + "/p compression zstd"));
  EXPECT_TRUE(probe_host_volume(write("p/file")).compressed);
}

TEST_F(HostVolumeTest, BtrfsMountedWithCompression) {
  if (!mount("mkfs.btrfs -q", "loop,compress=zstd"))
    GTEST_SKIP() << "SKIPPED: a btrfs cannot be mounted here";
  const HostVolumeFacts facts = probe_host_volume(write("file"));
  EXPECT_FALSE(facts.compressed);
  EXPECT_TRUE(facts.volume_compressed);
  EXPECT_THAT(facts.why, HasSubstr("mounted with compression"));
}

TEST_F(HostVolumeTest, FscryptFiles) {
  if (!mount("mkfs.ext4 -q -O encrypt", "loop")) GTEST_SKIP() << "SKIPPED: an ext4 cannot be mounted here";
  EXPECT_FALSE(probe_host_volume(write("plain")).encrypted);
  const std::string secret = mount_ + "/secret";
  std::filesystem::create_directory(secret);
  const std::string id = "$(head -c 64 /dev/urandom | xfs_io -c add_enckey " + mount_ + " | sed 's/.* //')";
  if (!run("sh -c \"xfs_io -c \\\"set_encpolicy " + id + "\\\" " + secret + "\"") ||
      !run("xfs_io -c get_encpolicy " + secret + " | grep -q 'Master key'")) {
    GTEST_SKIP() << "SKIPPED: fscrypt keys cannot be added here";
  }
  const HostVolumeFacts facts = probe_host_volume(write("secret/file"));
  EXPECT_TRUE(facts.encrypted);
  EXPECT_FALSE(facts.compressed);
  EXPECT_THAT(facts.why, HasSubstr("encrypted"));
}

}  // namespace
}  // namespace vdisk
