// SPDX-License-Identifier: Apache-2.0
//
// The only command that goes through the C API: what it prints is what a Windows program would get.
#include <fmt/format.h>
#include <stdlib.h>
#include <virtdisk.h>

#include <CLI/Error.hpp>
#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf16.h"
#include "cli/output_json.h"
#include "cli/output_text.h"
#include "cli/tool.h"

namespace vdisk::cli {

namespace {

/// A constant's last part, in lower case with dashes.
struct Word {
  std::string_view word;
  std::uint32_t value;
};

// Those of VIRTUAL_DISK_ACCESS_MASK and OPEN_VIRTUAL_DISK_FLAG (virtdisk-api.md 4).
constexpr std::array kAccessWords = std::to_array<Word>({
    {"none", VIRTUAL_DISK_ACCESS_NONE},
    {"attach-ro", VIRTUAL_DISK_ACCESS_ATTACH_RO},
    {"attach-rw", VIRTUAL_DISK_ACCESS_ATTACH_RW},
    {"detach", VIRTUAL_DISK_ACCESS_DETACH},
    {"get-info", VIRTUAL_DISK_ACCESS_GET_INFO},
    {"create", VIRTUAL_DISK_ACCESS_CREATE},
    {"metaops", VIRTUAL_DISK_ACCESS_METAOPS},
    {"read", VIRTUAL_DISK_ACCESS_READ},
    {"all", VIRTUAL_DISK_ACCESS_ALL},
    {"writable", VIRTUAL_DISK_ACCESS_WRITABLE},
});

constexpr std::array kFlagWords = std::to_array<Word>({
    {"none", OPEN_VIRTUAL_DISK_FLAG_NONE},
    {"no-parents", OPEN_VIRTUAL_DISK_FLAG_NO_PARENTS},
    {"blank-file", OPEN_VIRTUAL_DISK_FLAG_BLANK_FILE},
    {"boot-drive", OPEN_VIRTUAL_DISK_FLAG_BOOT_DRIVE},
    {"cached-io", OPEN_VIRTUAL_DISK_FLAG_CACHED_IO},
    {"custom-diff-chain", OPEN_VIRTUAL_DISK_FLAG_CUSTOM_DIFF_CHAIN},
    {"parent-cached-io", OPEN_VIRTUAL_DISK_FLAG_PARENT_CACHED_IO},
    {"vhdset-file-only", OPEN_VIRTUAL_DISK_FLAG_VHDSET_FILE_ONLY},
    {"ignore-relative-parent-locator", OPEN_VIRTUAL_DISK_FLAG_IGNORE_RELATIVE_PARENT_LOCATOR},
    {"no-write-hardening", OPEN_VIRTUAL_DISK_FLAG_NO_WRITE_HARDENING},
    {"support-compressed-volumes", OPEN_VIRTUAL_DISK_FLAG_SUPPORT_COMPRESSED_VOLUMES},
    {"support-sparse-files-any-fs", OPEN_VIRTUAL_DISK_FLAG_SUPPORT_SPARSE_FILES_ANY_FS},
    {"support-encrypted-files", OPEN_VIRTUAL_DISK_FLAG_SUPPORT_ENCRYPTED_FILES},
});

std::string word_list(std::span<const Word> words) {
  std::string text;
  for (const Word& word : words) text += (text.empty() ? "" : " ") + std::string(word.word);
  return text;
}

std::optional<std::uint32_t> parse_number(std::string_view text) noexcept {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "a,b", or a mask in hexadecimal or decimal; the two may be mixed.
std::uint32_t parse_mask(const std::string& option, std::string_view text, std::span<const Word> words) {
  std::uint32_t mask = 0;
  for (bool more = true; more;) {
    const auto comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const auto found = std::ranges::find(words, part, &Word::word);
    if (found != words.end()) {
      mask |= found->value;
    } else if (const auto number = parse_number(part)) {
      mask |= *number;
    } else {
      throw CLI::ValidationError(
          option, fmt::format("'{}' is neither a number nor one of {}", part, word_list(words)));
    }
    more = comma != std::string_view::npos;
    if (more) text.remove_prefix(comma + 1);
  }
  return mask;
}

std::string join(const std::vector<std::string>& items, char separator, const std::string& option) {
  std::string text;
  for (const std::string& item : items) {
    if (item.find(separator) != std::string::npos) {
      throw CLI::ValidationError(option,
                                 fmt::format("'{}' holds '{}', which cannot be handed on", item, separator));
    }
    text += (text.empty() ? "" : std::string(1, separator)) + item;
  }
  return text;
}

/// Puts `value` before what the variable holds already.
void extend_environment(const char* name, std::string value, char separator) {
  if (value.empty()) return;
  const char* old = ::getenv(name);
  if (old != nullptr && *old != '\0') value += separator + std::string(old);
  ::setenv(name, value.c_str(), 1);
}

class OpenCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("IMAGE", image_, "The image")->required();
    app.add_option("--format", format_, "VirtualStorageType: vhd vhdx vhdset iso; DEVICE_UNKNOWN by default")
        ->type_name("F");
    app.add_option("--access", access_,
                   "VirtualDiskAccessMask, words joined by commas or a number: " + word_list(kAccessWords) +
                       "; by default read, or none with --version 2 or 3")
        ->type_name("MASK");
    app.add_option("--flags", flags_, "Flags, words joined by commas or a number: " + word_list(kFlagWords))
        ->type_name("MASK");
    app.add_option("--version", version_, "Version of Parameters; Parameters is NULL by default")
        ->type_name("N");
    app.add_option("--rw-depth", rw_depth_, "RWDepth of version 1")->type_name("N");
    app.add_option("--contract", contract_, "Rules to judge by: windows10 (the default) page2018 windows7")
        ->type_name("C");
    words_.declare_parents(app);
    app.add_flag("--json", words_.json, "Print JSON")->group("Output");
  }

  int run(Session& session) override {
    if (!contract_.empty() && VirtdiskSetContract(contract_.c_str()) != ERROR_SUCCESS) {
      throw CLI::ValidationError("--contract",
                                 "'" + contract_ + "' is none of windows10, page2018, windows7");
    }
    VIRTUAL_STORAGE_TYPE type = storage_type();
    OPEN_VIRTUAL_DISK_PARAMETERS parameters{};
    const bool with_parameters = fill(parameters);
    const bool asks_nothing = with_parameters && parameters.Version >= OPEN_VIRTUAL_DISK_VERSION_2;
    const std::uint32_t access =
        access_.empty()
            ? static_cast<std::uint32_t>(asks_nothing ? VIRTUAL_DISK_ACCESS_NONE : VIRTUAL_DISK_ACCESS_READ)
            : parse_mask("--access", access_, kAccessWords);
    const std::uint32_t flags = flags_.empty() ? 0 : parse_mask("--flags", flags_, kFlagWords);
    hand_on_parents();
    const std::wstring path = wide(image_);

    HANDLE handle = nullptr;
    const DWORD code = OpenVirtualDisk(&type, path.c_str(), static_cast<VIRTUAL_DISK_ACCESS_MASK>(access),
                                       static_cast<OPEN_VIRTUAL_DISK_FLAG>(flags),
                                       with_parameters ? &parameters : nullptr, &handle);
    const std::string explanation = code == ERROR_SUCCESS ? "" : VirtdiskGetLastErrorText();
    if (code == ERROR_SUCCESS) CloseHandle(handle);
    print(session, code, explanation);
    return code == ERROR_SUCCESS ? kFine : kFailed;
  }

 private:
  VIRTUAL_STORAGE_TYPE storage_type() const {
    VIRTUAL_STORAGE_TYPE type{};
    if (format_.empty()) return type;
    const auto format = parse_format(format_);
    if (!format || *format == FormatId::kRaw) {
      throw CLI::ValidationError("--format", "'" + format_ + "' is none of vhd, vhdx, vhdset, iso");
    }
    type.DeviceId = static_cast<ULONG>(*format);
    type.VendorId = VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT;
    return type;
  }

  /// False when Parameters is to be NULL.
  bool fill(OPEN_VIRTUAL_DISK_PARAMETERS& parameters) const {
    if (version_.empty() && rw_depth_.empty()) return false;
    const auto version = version_.empty() ? 1U : parse_number(version_);
    const auto depth =
        rw_depth_.empty() ? std::uint32_t{OPEN_VIRTUAL_DISK_RW_DEPTH_DEFAULT} : parse_number(rw_depth_);
    if (!version) throw CLI::ValidationError("--version", "'" + version_ + "' is not a number");
    if (!depth) throw CLI::ValidationError("--rw-depth", "'" + rw_depth_ + "' is not a number");
    if (!rw_depth_.empty() && *version != 1)
      throw CLI::ValidationError("--rw-depth", "only version 1 has it");
    parameters.Version = static_cast<OPEN_VIRTUAL_DISK_VERSION>(*version);
    if (*version == 1) parameters.Version1.RWDepth = *depth;
    return true;
  }

  /// The API takes the search for parents from the environment.
  void hand_on_parents() const {
    static_cast<void>(words_.open_options());  // judges the words
    extend_environment("VDISK_PARENT_DIRS", join(words_.parent_directories, ':', "--parent-dir"), ':');
    extend_environment("VDISK_MAP_DRIVES", join(words_.drives, ';', "--map-drive"), ';');
    if (words_.confine) ::setenv("VDISK_CONFINE", "1", 1);
  }

  static std::wstring wide(std::string_view text) {
    const std::u32string points = utf8_to_utf32(text);
    return {points.begin(), points.end()};
  }

  void print(Session& session, DWORD code, const std::string& explanation) const {
    const std::string_view name = win32_code_name(code);
    if (!words_.json) {
      session.out.put(fmt::format("{} {}\n", code_text(code), name));
      session.out.flush();
      if (!explanation.empty()) print_message(explanation);
      return;
    }
    Json json{{"code", code}, {"name", name}};
    if (code != ERROR_SUCCESS) {
      // "NAME CODE [fault]: message"
      const auto open = explanation.find('[');
      const auto close = explanation.find("]: ");
      const bool marked = open < close && close != std::string::npos;
      json["fault"] = marked ? explanation.substr(open + 1, close - open - 1) : "";
      json["message"] = marked ? explanation.substr(close + 3) : explanation;
      json = Json{{"error", std::move(json)}};
    }
    session.out.put(json_text(json) + "\n");
  }

  std::string image_;
  std::string format_;
  std::string access_;
  std::string flags_;
  std::string version_;
  std::string rw_depth_;
  std::string contract_;
  OpenWords words_;
};

}  // namespace

const CommandRow kOpenCommand = {
    .name = "open",
    .arguments = "IMAGE",
    .summary = "Make one OpenVirtualDisk call and print its result",
    .description =
        "Calls OpenVirtualDisk with exactly these arguments, closes the handle, and prints the Win32 code "
        "and "
        "its name; the explanation of a failure goes to standard error.",
    .examples =
        "vdisk open disk.vhdx\n"
        "vdisk open cd.iso --format iso --access attach-ro,detach,get-info --version 1\n"
        "vdisk open child.vhd --flags no-parents --contract page2018\n",
    .make = [] -> std::unique_ptr<Command> { return std::make_unique<OpenCommand>(); },
};

}  // namespace vdisk::cli
