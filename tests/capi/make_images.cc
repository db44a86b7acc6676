// SPDX-License-Identifier: Apache-2.0
//
// Fills a folder with the images that the C tests open: `make_images FOLDER [COMMAND…]`. With a command, it
// then publishes two attachment records (permanent, one of them read-only), runs the command, and returns its
// status; the records live as long as that takes.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "attach/registry.h"
#include "base/checked.h"
#include "format/vhdx/layout.h"
#include "io/memory_file.h"
#include "io/posix_file.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"

namespace vdisk::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kVhdBytes = 64 * kMiB;
constexpr std::uint64_t kVhdxBytes = kGiB;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "make_images: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T value_of(Result<T> result) {
  if (!result) die(result.error().message());
  return *std::move(result);
}

void must(const Status& status) {
  if (!status) die(status.error().message());
}

/// Copies a file in memory to disk, sparsely.
void save(File& from, const fs::path& path) {
  fs::remove(path);
  const auto to = value_of(create_posix_file(path.string()));
  const std::uint64_t size = value_of(from.size());
  must(to->resize(size));
  for (FileOffset at{0}; at.bytes < size;) {
    at = value_of(from.next_data(at));
    if (at.bytes >= size) break;
    const FileOffset end = value_of(from.next_hole(at));
    std::vector<std::byte> bytes(end.bytes - at.bytes);
    must(read_exactly(from, at, bytes));
    must(to->write(at, bytes));
    at = end;
  }
}

// 00112233-4455-6677-8899-aabbccddeeff, in the order in which the text prints it.
constexpr VhdId kDiskId = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                           0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
constexpr std::string_view kDataWriteText = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf";

void make_vhds(const fs::path& folder) {
  const auto fixed = VhdBuilder::fixed(4 * kMiB).unique_id(kDiskId);
  for (const char* name : {"fixed.vhd", "attached_rw.vhd", "attached_ro.vhd", "secret.vhd", "readonly.vhd"}) {
    save(*fixed.file(), folder / name);
  }
  fs::permissions(folder / "secret.vhd", fs::perms::owner_read | fs::perms::owner_write);
  fs::permissions(folder / "readonly.vhd",
                  fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
  save(*VhdBuilder::dynamic(kVhdBytes).windows_alignment().unique_id(kDiskId).fill(0, 16, 0x11).file(),
       folder / "dynamic.vhd");
  save(*VhdBuilder::differencing(kVhdBytes)
            .windows_alignment()
            .unique_id(vhd_id(2))
            .parent(kDiskId, ".\\dynamic.vhd")
            .fill(8, 8, 0x22)
            .file(),
       folder / "child.vhd");
  save(*VhdBuilder::differencing(kVhdBytes).unique_id(vhd_id(3)).parent(vhd_id(9), ".\\gone.vhd").file(),
       folder / "orphan.vhd");
}

void make_vhdxs(const fs::path& folder) {
  const Guid write_id = *Guid::parse(kDataWriteText);
  const auto dress = [&](VhdxBuilder& builder) -> VhdxBuilder& {
    for (int slot = 0; slot < 2; ++slot) {
      builder.edit_header(slot, [&](vhdx::HeaderLayout& header) { header.data_write_guid = write_id; });
    }
    return builder.edit_item(vhdx::kVirtualDiskIdItem, [](VhdxBuilder::Item& item) {
      const Guid id = Guid::from_text_order(kDiskId);
      const auto bytes = std::as_bytes(std::span(id.bytes));
      item.content.assign(bytes.begin(), bytes.end());
    });
  };
  constexpr std::uint32_t kBlock = 32 * kMiB;
  VhdxBuilder dynamic(kVhdxBytes, kBlock);
  save(*dress(dynamic.sectors(512, 4096)).build(), folder / "dynamic.vhdx");
  VhdxBuilder large_sectors(kVhdxBytes, kBlock);
  save(*dress(large_sectors.sectors(4096, 4096)).build(), folder / "sector4k.vhdx");
  const auto child_of = [](std::u16string parent, const std::string& linkage) {
    VhdxBuilder child(kVhdxBytes, 2 * kMiB);
    child.sectors(512, 4096).differencing(
        {{u"parent_linkage", u"{" + std::u16string(linkage.begin(), linkage.end()) + u"}"},
         {u"relative_path", u".\\" + parent}});
    return child;
  };
  save(*child_of(u"dynamic.vhdx", std::string(kDataWriteText)).build(), folder / "child.vhdx");
  save(*child_of(u"gone.vhdx", "b0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf").build(), folder / "orphan.vhdx");
}

void put_descriptor(std::vector<std::byte>& bytes, std::size_t sector, int type, std::string_view id) {
  const std::size_t at = sector * 2048;
  bytes[at] = static_cast<std::byte>(type);
  for (std::size_t i = 0; i < id.size(); ++i) bytes[at + 1 + i] = static_cast<std::byte>(id[i]);
  bytes[at + 1 + id.size()] = std::byte{1};
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) die("cannot write " + path.string());
}

// The rows T18 to T20 of virtdisk-api.md 7.
void make_isos(const fs::path& folder) {
  std::vector<std::byte> disc(20 * 2048);
  put_descriptor(disc, 16, 1, "CD001");
  put_descriptor(disc, 17, 255, "CD001");
  write_file(folder / "disc.iso", disc);
  std::vector<std::byte> udf(300 * 2048);
  put_descriptor(udf, 16, 0, "BEA01");
  put_descriptor(udf, 17, 0, "NSR03");
  put_descriptor(udf, 18, 0, "TEA01");
  write_file(folder / "udf.iso", udf);
  std::vector<std::byte> longer = disc;
  longer.push_back(std::byte{0});
  write_file(folder / "plus1.iso", longer);
  write_file(folder / "minus1.iso", std::span(disc).first(disc.size() - 1));
  write_file(folder / "34816.iso", std::span(disc).first(34816));
  write_file(folder / "34815.iso", std::span(disc).first(34815));
  write_file(folder / "32768.iso", std::span(disc).first(32768));
  write_file(folder / "zeros.iso", std::vector<std::byte>(65536));
  std::vector<std::byte> random(65536);
  std::uint32_t state = 1;
  for (std::byte& byte : random) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  write_file(folder / "random.iso", random);
  std::vector<std::byte> wrong = disc;
  put_descriptor(wrong, 16, 1, "CD002");
  put_descriptor(wrong, 17, 255, "CD002");
  write_file(folder / "cd002.iso", wrong);
  write_file(folder / "4gib.iso", disc);
  fs::resize_file(folder / "4gib.iso", 4 * kGiB);
}

void make_others(const fs::path& folder) {
  for (const char* name : {"blank.vhd", "blank.bin"}) write_file(folder / name, {});
  write_file(folder / "text.txt", std::vector<std::byte>(4096, std::byte{'x'}));
  if (::mkfifo((folder / "fifo.vhd").c_str(), 0666) != 0 && errno != EEXIST) die("mkfifo failed");
}

attach::PublishedRecord publish_attachment(const fs::path& image, bool read_only) {
  const auto file =
      value_of(open_posix_file(image.string(), {.writable = false, .lock = false, .trace = {}}));
  attach::AttachmentRecord record;
  record.image_path = image.string();
  record.image = value_of(file->identity());
  record.device_node = "/dev/loop99";
  record.read_only = read_only;
  record.permanent = true;
  record.process = static_cast<std::uint64_t>(::getpid());
  return value_of(attach::publish(record));
}

int run(char** command) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execvp(command[0], command);
    std::perror(command[0]);
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) die("the command could not be run");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace
}  // namespace vdisk::testing

int main(int argc, char** argv) {
  using namespace vdisk::testing;  // NOLINT
  if (argc < 2) {
    std::fprintf(stderr, "usage: make_images FOLDER [COMMAND…]\n");
    return 2;
  }
  const fs::path folder = fs::absolute(argv[1]);
  fs::create_directories(folder);
  fs::permissions(folder, fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
  const std::string registry = (folder / "registry").string();
  ::setenv("VDISK_RUNTIME_DIR", registry.c_str(), 1);
  make_vhds(folder);
  make_vhdxs(folder);
  make_isos(folder);
  make_others(folder);
  if (argc == 2) return 0;
  const auto writable = publish_attachment(folder / "attached_rw.vhd", false);
  const auto read_only = publish_attachment(folder / "attached_ro.vhd", true);
  return run(argv + 2);
}
