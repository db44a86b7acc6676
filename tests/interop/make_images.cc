// SPDX-License-Identifier: Apache-2.0
//
// make_images DIR: writes the images that interop_test.py reads, beside each leaf the content that it must
// show (NAME.raw, sparse), and list.tsv: leaf, content, the programs of others that read it right
// (formats.md 5.3).
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "base/checked.h"
#include "base/fault.h"
#include "base/utf16.h"
#include "io/memory_file.h"
#include "testing/temp_folder.h"
#include "testing/vhd_builder.h"
#include "testing/vhdx_builder.h"
#include "testing/vhdx_log_builder.h"

namespace {

using namespace vdisk;  // NOLINT: a program of its own
using testing::LogWrite;
using testing::vhd_id;
using testing::VhdBuilder;
using testing::VhdxBuilder;
using testing::VhdxLogBuilder;

constexpr std::uint64_t kPage = 4096;

class Maker {
 public:
  explicit Maker(std::string folder) : folder_(std::move(folder)), list_(folder_ + "/list.tsv") {}

  void save(const std::string& name, File& file) const { testing::save_sparse(file, folder_ + "/" + name); }
  void leaf(const std::string& name, File& file, File& content, std::string_view readers) {
    save(name, file);
    save(name + ".raw", content);
    list_ << name << '\t' << name << ".raw\t" << readers << '\n';
  }

 private:
  std::string folder_;
  std::ofstream list_;
};

void put(File& content, std::uint64_t at, std::uint64_t length, std::uint8_t value) {
  VDISK_ASSERT(content.write({at}, std::vector<std::byte>(length, std::byte{value})).has_value());
}

// --- VHDX: what a disk holds is written through `Both`, into the image and into the expected content. ---

struct Both {
  Both(std::uint64_t bytes, std::uint32_t block, std::uint32_t sector = 512) : image(bytes, block) {
    image.sectors(sector, 4096);
    VDISK_ASSERT(content.resize(bytes).has_value());
  }
  void write(std::uint64_t at, std::uint64_t length, std::uint8_t value) {
    image.write(at, length, value);
    put(content, at, length, value);
  }
  VhdxBuilder image;
  MemoryFile content{"content"};
};

std::unique_ptr<Both> two_blocks(std::uint64_t bytes = 64 * kMiB, std::uint32_t sector = 512) {
  auto both = std::make_unique<Both>(bytes, 2 * kMiB, sector);
  return both;
}
void fill(Both& both) {
  both.image.present(0);
  both.image.present(5);
  both.write(0, 2 * kMiB, 0x11);
  both.write(10 * kMiB + 8192, 64 * kKiB, 0x55);
}

void damaged_copies(Maker& maker) {
  const auto make = [&](const std::string& name, std::string_view readers, auto&& edit,
                        std::uint64_t bytes = 64 * kMiB, std::uint32_t sector = 512) {
    auto both = two_blocks(bytes, sector);
    edit(both->image);
    fill(*both);
    maker.leaf(name, *both->image.build(), both->content, readers);
  };
  make("sound.vhdx", "qemu,7z,vhdi", [](auto&) {});
  make("header1-bad.vhdx", "qemu,vhdi", [](auto& b) { b.bad_header(0); });
  make("header2-bad.vhdx", "qemu,vhdi", [](auto& b) { b.bad_header(1); });
  make("region-table1-bad.vhdx", "", [](auto& b) { b.bad_region_table(0); });
  make("region-table2-bad.vhdx", "qemu", [](auto& b) { b.bad_region_table(1); });
  const auto same = [](vhdx::HeaderLayout& h) { h.sequence_number = std::uint64_t{5}; };
  make("same-sequence.vhdx", "qemu,7z,vhdi", [&](auto& b) { b.edit_header(0, same).edit_header(1, same); });
  make("odd-size.vhdx", "qemu,vhdi", [](auto&) {}, 64 * kMiB + 512);
  make("sectors-4096.vhdx", "7z,vhdi", [](auto&) {}, 64 * kMiB, 4096);
}

// --- Dirty logs: pages of a sound image are taken out of it and stand in the log alone. ---

/// `fill_log` gets the image without its log, the offsets of payload and BAT, and the log.
using FillLog = std::function<void(MemoryFile&, std::uint64_t payload, std::uint64_t bat, VhdxLogBuilder&)>;

void dirty(Maker& maker, const std::string& name, std::string_view readers, const FillLog& fill_log) {
  VhdxLogBuilder log;
  auto both = two_blocks();
  both->image.log_guid(log.guid());
  const std::uint64_t payload = both->image.present(0);
  both->image.present(5);
  both->write(0, 2 * kMiB, 0x11);
  for (std::uint64_t page = 0; page < 64; ++page)
    both->write(page * kPage, kPage, static_cast<std::uint8_t>(page + 1));
  both->write(10 * kMiB + 8192, 64 * kKiB, 0x55);
  const std::uint64_t log_at = both->image.log_offset();
  const std::uint64_t bat = both->image.bat_offset();
  const auto file = both->image.build();
  fill_log(*file, payload, bat, log);
  testing::put_log(*file, log_at, log);
  maker.leaf(name, *file, both->content, readers);
}

/// Entries 100, 101, … from `at`, each with one page of payload; the first also with the BAT.
std::uint64_t add_entries(MemoryFile& file, std::uint64_t payload, std::uint64_t bat, VhdxLogBuilder& log,
                          std::uint64_t at, std::uint64_t count) {
  const std::uint64_t tail = at;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::vector<LogWrite> writes = {testing::take_page(file, payload + i * kPage)};
    if (i == 0) writes.push_back(testing::take_page(file, bat));
    at = log.add({.at = at, .sequence = 100 + i, .tail = tail, .writes = std::move(writes)});
  }
  return at;
}

void dirty_logs(Maker& maker) {
  dirty(maker, "log-one.vhdx", "qemu-replay",
        [](auto& f, auto payload, auto bat, auto& log) { add_entries(f, payload, bat, log, 0, 1); });
  dirty(maker, "log-several.vhdx", "",
        [](auto& f, auto payload, auto bat, auto& log) { add_entries(f, payload, bat, log, 64 * kPage, 7); });
  dirty(maker, "log-wrapped.vhdx", "", [](auto& f, auto payload, auto bat, auto& log) {
    add_entries(f, payload, bat, log, kMiB - 5 * kPage, 5);
  });
  dirty(maker, "log-crossing.vhdx", "qemu-replay", [](auto& f, auto payload, auto bat, auto& log) {
    std::vector<LogWrite> writes = {testing::take_page(f, bat)};
    for (std::uint64_t i = 0; i < 40; ++i) writes.push_back(testing::take_page(f, payload + i * kPage));
    log.add({.at = kMiB - 17 * kPage, .sequence = 9, .writes = std::move(writes)});
  });
  dirty(maker, "log-stale.vhdx", "", [](auto& f, auto payload, auto bat, auto& log) {
    const std::uint64_t at = add_entries(f, payload, bat, log, 0, 3);
    log.add({.at = at, .sequence = 5, .tail = 0, .writes = {LogWrite::pattern(payload, 66)}});
  });
  dirty(maker, "log-torn.vhdx", "", [](auto& f, auto payload, auto bat, auto& log) {
    const std::uint64_t at = add_entries(f, payload, bat, log, 0, 3);
    log.add({.at = at,
             .sequence = 103,
             .tail = 0,
             .writes = {LogWrite::pattern(payload, 66)},
             .torn_after = 4608});
  });
  dirty(maker, "log-retired.vhdx", "", [](auto& f, auto payload, auto bat, auto& log) {
    std::uint64_t at = log.add({.sequence = 99, .writes = {LogWrite::pattern(payload, 66)}});
    add_entries(f, payload, bat, log, at, 2);
  });
}

// --- Chains of five ---

void vhdx_chain(Maker& maker, const std::string& name, std::uint32_t sector, std::string_view readers) {
  constexpr std::uint64_t kSize = 64 * kMiB;
  MemoryFile content("content");
  VDISK_ASSERT(content.resize(kSize).has_value());
  for (std::uint8_t layer = 0; layer < 5; ++layer) {
    VhdxBuilder image(kSize, 2 * kMiB);
    image.sectors(sector, 4096);
    const auto guid = [](unsigned number) {
      Guid id;
      id.bytes.fill(static_cast<std::uint8_t>(number));
      return id;
    };
    for (int slot = 0; slot < 2; ++slot) {
      image.edit_header(slot, [&](auto& h) { h.data_write_guid = guid(layer + 1U); });
    }
    if (layer != 0) {
      image.differencing(
          {{u"parent_linkage", *utf8_to_utf16("{" + guid(layer).to_string() + "}")},
           {u"relative_path", *utf8_to_utf16(fmt::format(".\\{}-{}.vhdx", name, layer - 1))},
           {u"absolute_win32_path", *utf8_to_utf16(fmt::format("C:\\images\\{}-{}.vhdx", name, layer - 1))}});
    }
    for (std::uint64_t block = layer; block < 32; block += layer + 2U) {
      if (layer == 0) {
        image.present(block);
      } else {
        image.partial(block);
      }
      const std::uint64_t at = block * 2 * kMiB + layer * 16 * kPage;
      const std::uint64_t length = 40 * kPage;
      if (layer != 0) image.set_bits(at / sector, length / sector);
      const auto value = static_cast<std::uint8_t>(layer * 40 + block + 1);
      image.write(at, length, value);
      put(content, at, length, value);
    }
    const std::string file_name = fmt::format("{}-{}.vhdx", name, layer);
    const auto file = image.build();
    if (layer < 4) {
      maker.save(file_name, *file);
    } else {
      maker.leaf(file_name, *file, content, readers);
    }
  }
}

void vhd_chain(Maker& maker) {
  constexpr std::uint64_t kSize = 64 * kMiB;
  MemoryFile content("content");
  VDISK_ASSERT(content.resize(kSize).has_value());
  for (std::uint8_t layer = 0; layer < 5; ++layer) {
    VhdBuilder image = layer == 0 ? VhdBuilder::dynamic(kSize) : VhdBuilder::differencing(kSize);
    image.unique_id(vhd_id(layer)).windows_alignment();
    const std::string parent = fmt::format("chain-{}.vhd", layer - 1);
    if (layer != 0) image.parent(vhd_id(static_cast<std::uint8_t>(layer - 1)), ".\\" + parent, "", parent);
    for (std::uint64_t i = 0; i < 20; ++i) {
      const std::uint64_t first = (i * 6007 + layer * 911) % (kSize / 512 - 300);
      const std::uint64_t count = 1 + (i * 37 + layer * 11) % 290;
      const auto value = static_cast<std::uint8_t>(layer * 40 + i + 1);
      image.fill(first, count, value);
      put(content, first * 512, count * 512, value);
    }
    const std::string file_name = fmt::format("chain-{}.vhd", layer);
    if (layer < 4) {
      maker.save(file_name, *image.file());
    } else {
      maker.leaf(file_name, *image.file(), content, "vhdi");
    }
  }
}

void vhds(Maker& maker) {
  constexpr std::uint64_t kSize = 16 * kMiB;
  MemoryFile content("content");
  VDISK_ASSERT(content.resize(kSize).has_value());
  put(content, 0, 4 * kMiB, 0x21);
  put(content, 9 * kMiB, kMiB, 0x22);
  const auto filled = [](VhdBuilder builder) {
    // Whole blocks: a program that ignores the bitmap must see the same.
    return builder.fill(0, 8192, 0x21).fill(9 * 2048, 2048, 0x22);
  };
  const VhdBuilder dynamic = filled(VhdBuilder::dynamic(kSize).windows_alignment());
  const auto leaf = [&](const std::string& name, const VhdBuilder& builder, std::string_view readers) {
    maker.leaf(name, *builder.file(), content, readers);
  };
  leaf("sound.vhd", dynamic, "qemu,7z,vhdi");
  leaf("fixed.vhd", filled(VhdBuilder::fixed(kSize)), "qemu,7z,vhdi");
  leaf("front-footer-bad.vhd", VhdBuilder(dynamic).break_front_footer(), "vhdi");
  leaf("end-footer-bad.vhd", VhdBuilder(dynamic).break_end_footer(), "qemu");
  leaf("end-footer-missing.vhd", VhdBuilder(dynamic).omit_end_footer(), "qemu");
  leaf("footer-511.vhd", VhdBuilder(dynamic).short_footer(), "qemu");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_images DIR\n", stderr);
    return 2;
  }
  Maker maker(argv[1]);
  damaged_copies(maker);
  dirty_logs(maker);
  vhdx_chain(maker, "chain", 512, "vhdi");
  vhdx_chain(maker, "chain4k", 4096, "vhdi");
  vhd_chain(maker);
  vhds(maker);
}
