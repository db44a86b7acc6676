// SPDX-License-Identifier: Apache-2.0
#include "chain/parent_search.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "chain/fold_case.h"

namespace vdisk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = ParentCandidate::Kind;

TEST(FoldCaseTest, FoldsTheScriptsOfFileNames) {
  EXPECT_TRUE(equal_ignoring_case("Base.VHDX", "bASE.vhdx"));
  EXPECT_TRUE(equal_ignoring_case("ÄÖÜ", "äöü"));
  EXPECT_TRUE(equal_ignoring_case("ŸŽŁ", "ÿžł"));
  EXPECT_TRUE(equal_ignoring_case("ΣΊΣΥΦΟΣ", "σίσυφος"));  // final sigma too
  EXPECT_TRUE(equal_ignoring_case("ΑΊΈΎΏΌ", "αίέύώό"));
  EXPECT_TRUE(equal_ignoring_case("ДИСК-Ёж", "диск-ёЖ"));
  EXPECT_TRUE(equal_ignoring_case("ՀԱՅ", "հայ"));
  EXPECT_TRUE(equal_ignoring_case("ĐẠI", "đại"));
  EXPECT_FALSE(equal_ignoring_case("a", "ä"));
  EXPECT_FALSE(equal_ignoring_case("base", "base2"));
  EXPECT_EQ(fold_case(U'×'), U'×');  // between the capitals of Latin-1, but none of them
  EXPECT_EQ(fold_case(U'÷'), U'÷');
  EXPECT_EQ(fold_case(U'ß'), U'ß');
  EXPECT_EQ(fold_case(U'ы'), U'ы');
  EXPECT_EQ(fold_case(U'日'), U'日');
  // Folding twice changes nothing more.
  for (char32_t c = 0; c < 0x20000; ++c) ASSERT_EQ(fold_case(fold_case(c)), fold_case(c)) << std::hex << +c;
}

ParentSearch mapped(std::vector<std::pair<std::string, std::string>> map) {
  ParentSearch search;
  search.drive_map = std::move(map);
  return search;
}

TEST(TranslateTest, RelativePaths) {
  const ParentSearch none;
  EXPECT_EQ(translate_windows_path(R"(.\a\b.vhd)", none).path, "a/b.vhd");
  EXPECT_EQ(translate_windows_path(R"(..\b.vhd)", none).path, "../b.vhd");
  EXPECT_EQ(translate_windows_path(R"(a\..\..\b.vhd)", none).path, "../b.vhd");
  EXPECT_EQ(translate_windows_path("a/./b.vhd", none).path, "a/b.vhd");
  EXPECT_FALSE(translate_windows_path(R"(.\a)", none).absolute);
}

TEST(TranslateTest, DrivesThroughTheMap) {
  const ParentSearch search = mapped({{"c:", "/drives/c"}, {R"(C:\Images\)", "/images"}, {"D:", "/d"}});
  EXPECT_EQ(translate_windows_path(R"(C:\Windows\x.vhd)", search).path, "/drives/c/Windows/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(c:/Windows/x.vhd)", search).path, "/drives/c/Windows/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(c:\IMAGES\x.vhd)", search).path, "/images/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(\\?\D:\x.vhd)", search).path, "/d/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(\\.\D:\x.vhd)", search).path, "/d/x.vhd");
  // ".." never leaves the folder of the drive.
  EXPECT_EQ(translate_windows_path(R"(D:\..\..\etc\x)", search).path, "/d/etc/x");
  const WindowsPath unmapped = translate_windows_path(R"(E:\x.vhd)", search);
  EXPECT_FALSE(unmapped.path);
  EXPECT_EQ(unmapped.missing_map, "E:");
  EXPECT_TRUE(unmapped.absolute);
}

TEST(TranslateTest, SharesThroughTheMap) {
  const ParentSearch search = mapped({{R"(\\Server\Share)", "/share"}});
  EXPECT_EQ(translate_windows_path(R"(\\server\SHARE\a\x.vhd)", search).path, "/share/a/x.vhd");
  EXPECT_EQ(translate_windows_path("//server/share/x.vhd", search).path, "/share/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(\\?\UNC\server\share\x.vhd)", search).path, "/share/x.vhd");
  EXPECT_EQ(translate_windows_path(R"(\\server\other\x.vhd)", search).missing_map, R"(\\server\other)");
  EXPECT_EQ(translate_windows_path(R"(\\server)", search).missing_map, R"(\\server)");
}

TEST(TranslateTest, VolumesDevicesAndRootedPathsMeanNothingHere) {
  const ParentSearch search = mapped({{"C:", "/c"}});
  for (const char* path : {R"(\\?\Volume{01234567-89ab-cdef-0123-456789abcdef}\x.vhd)",
                           R"(\\.\PhysicalDrive0)", R"(\x.vhd)", R"(\??\GLOBALROOT\Device\x)"}) {
    const WindowsPath translated = translate_windows_path(path, search);
    EXPECT_FALSE(translated.path) << path;
    EXPECT_TRUE(translated.absolute) << path;
  }
}

TEST(TranslateTest, LinuxPathsStay) {
  EXPECT_EQ(translate_windows_path("/images/x.vhd", {}).path, "/images/x.vhd");
  EXPECT_TRUE(looks_like_windows_path(R"(C:\x)"));
  EXPECT_TRUE(looks_like_windows_path("//server/share/x"));
  EXPECT_TRUE(looks_like_windows_path(R"(a\b)"));
  EXPECT_FALSE(looks_like_windows_path("/a/b"));
  EXPECT_FALSE(looks_like_windows_path("a.vhd"));
}

TEST(TranslateTest, HostileTextEndsQuickly) {
  const ParentSearch search = mapped({{"C:", "/c"}, {"", "/nothing"}});
  for (const char* path :
       {"", "\\", "\\\\", "\\\\?\\", "\\\\?\\UNC", "\\\\?\\UNC\\", ":", "C:", "C:..", ".", "..", "/"}) {
    translate_windows_path(path, search);
    find_parent_paths("/x/child.vhd",
                      {.candidates = {{Kind::kRelative, path, "W2ru"}}, .linkage = {}, .timestamp = {}},
                      search);
  }
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "..\\";
  EXPECT_TRUE(translate_windows_path(deep + "x", search).path);
}

class SearchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "vdisk_search_XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    child_ = folder_ + "/child.vhdx";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string make(const std::string& name) const {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name) << "x";
    return folder_ + "/" + name;
  }
  ParentPaths find(std::vector<ParentCandidate> candidates, const ParentSearch& search = {}) const {
    return find_parent_paths(child_, {.candidates = std::move(candidates), .linkage = {}, .timestamp = {}},
                             search);
  }
  static std::vector<std::string> paths_of(const ParentPaths& found) {
    std::vector<std::string> paths;
    for (const ParentPath& path : found.to_try) paths.push_back(path.path);
    return paths;
  }

  std::string folder_, child_;
};

TEST_F(SearchTest, OrderOfThePolicy) {
  ParentSearch search = mapped({{"C:", "/drives/c"}});
  search.directories = {"/p1", "/p2"};
  const ParentPaths found = find({{Kind::kRelative, R"(..\up\base.vhdx)", "relative_path"},
                                  {Kind::kRelative, R"(.\sub\base.vhdx)", "W2ru"},
                                  {Kind::kAbsolute, R"(C:\vm\base.vhdx)", "absolute_win32_path"}},
                                 search);
  EXPECT_THAT(paths_of(found),
              ElementsAre(folder_ + "/sub/base.vhdx", folder_ + "/base.vhdx", "/p1/sub/base.vhdx",
                          "/p1/base.vhdx", "/p2/sub/base.vhdx", "/p2/base.vhdx", folder_ + "/../up/base.vhdx",
                          "/drives/c/vm/base.vhdx"));
  EXPECT_FALSE(found.to_try[0].needs_identity);
  EXPECT_FALSE(found.to_try[0].by_name);
  EXPECT_TRUE(found.to_try[1].by_name);
  EXPECT_FALSE(found.to_try[5].needs_identity);
  EXPECT_TRUE(found.to_try[6].needs_identity);
  EXPECT_TRUE(found.to_try[7].needs_identity);
  EXPECT_THAT(found.withheld, IsEmpty());
}

TEST_F(SearchTest, ConfineForbidsWhatLeadsOut) {
  ParentSearch search = mapped({{"C:", "/drives/c"}});
  search.confine = true;
  const ParentPaths found = find({{Kind::kRelative, R"(..\a.vhdx)", "relative_path"},
                                  {Kind::kAbsolute, R"(C:\b.vhdx)", "absolute_win32_path"},
                                  {Kind::kAbsolute, R"(E:\b.vhdx)", "absolute_win32_path"},
                                  {Kind::kUrl, "file:///c.vhdx", "MacX"}},
                                 search);
  EXPECT_THAT(paths_of(found), ElementsAre(folder_ + "/a.vhdx", folder_ + "/b.vhdx", folder_ + "/c.vhdx"));
  ASSERT_EQ(found.withheld.size(), 4U);
  for (const std::string& withheld : found.withheld) EXPECT_THAT(withheld, HasSubstr("--confine"));
}

TEST_F(SearchTest, RelativePathsAreIgnoredOnRequest) {
  ParentSearch search;
  search.ignore_relative = true;
  const ParentPaths found = find({{Kind::kRelative, R"(..vhdx)", "relative_path"},
                                  {Kind::kAbsolute, "/x/b.vhdx", "absolute_win32_path"}},
                                 search);
  EXPECT_THAT(paths_of(found), ElementsAre(folder_ + "/b.vhdx", "/x/b.vhdx"));
  ASSERT_EQ(found.withheld.size(), 1U);
  EXPECT_THAT(found.withheld[0], HasSubstr("ignored"));
}

TEST_F(SearchTest, WithheldPathsNameTheOptionThatHelps) {
  const ParentPaths found =
      find({{Kind::kAbsolute, R"(E:\vm\base.vhdx)", "absolute_win32_path"},
            {Kind::kVolume, R"(\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\b.vhdx)", "volume_path"},
            {Kind::kUrl, "https://example.com/c.vhdx", "MacX"},
            {Kind::kUrl, "file://other.example/c.vhdx", "MacX"}});
  EXPECT_THAT(paths_of(found), ElementsAre(folder_ + "/base.vhdx", folder_ + "/b.vhdx"));
  ASSERT_EQ(found.withheld.size(), 4U);
  EXPECT_THAT(found.withheld[0], HasSubstr("--map-drive E:=DIR"));
  EXPECT_THAT(found.withheld[1], HasSubstr("--parent-dir"));
  EXPECT_THAT(found.withheld[2], HasSubstr("URLs are not followed"));
  EXPECT_THAT(found.withheld[3], HasSubstr("URLs are not followed"));
}

TEST_F(SearchTest, NbdUrisAreTheCallersAlone) {
  const std::string uri = "nbd+unix:///base?socket=/run/s";
  for (const Kind kind : {Kind::kRelative, Kind::kAbsolute, Kind::kVolume, Kind::kUrl, Kind::kName}) {
    for (const std::string& recorded :
         {uri, std::string(R"(nbd:\\host\base)"), std::string("nbd://host/base")}) {
      for (const ParentPath& path : find({{kind, recorded, "MacX"}}).to_try) {
        EXPECT_FALSE(path.named) << path.path;
        EXPECT_FALSE(path.path.starts_with("nbd")) << path.path;
      }
    }
  }
  ParentSearch search;
  search.directories = {uri};
  const ParentPaths found = find({{Kind::kRelative, R"(.\base.vhdx)", "relative_path"}}, search);
  ASSERT_THAT(paths_of(found), ElementsAre(folder_ + "/base.vhdx", uri));
  EXPECT_FALSE(found.to_try[0].named);
  EXPECT_TRUE(found.to_try[1].named);
}

TEST_F(SearchTest, AChildOnAServerLeadsNowhereHere) {
  ParentSearch search;
  search.directories = {folder_};
  const ParentLocator locator{.candidates = {{Kind::kRelative, R"(.\base.vhdx)", "relative_path"},
                                             {Kind::kAbsolute, "/x/base.vhdx", "absolute_win32_path"}},
                              .linkage = {},
                              .timestamp = {}};
  const ParentPaths found = find_parent_paths("nbd://host/child.vhdx", locator, search);
  EXPECT_THAT(paths_of(found), ElementsAre(folder_ + "/base.vhdx"));
  ASSERT_EQ(found.withheld.size(), 1U);
  EXPECT_THAT(found.withheld[0], HasSubstr("NBD server"));
}

TEST_F(SearchTest, FileUrlsAreDecoded) {
  const std::string parent = make("my base.vhd");
  const ParentPaths relative = find({{Kind::kUrl, "file://./my%20base.vhd", "MacX"}});
  EXPECT_THAT(paths_of(relative), ElementsAre(parent));
  EXPECT_FALSE(relative.to_try[0].needs_identity);
  const ParentPaths absolute = find({{Kind::kUrl, "file://localhost/x/b%zz%2.vhd", "MacX"}});
  EXPECT_THAT(paths_of(absolute), ElementsAre(folder_ + "/b%zz%2.vhd", "/x/b%zz%2.vhd"));
  EXPECT_TRUE(absolute.to_try[1].needs_identity);
  EXPECT_THAT(paths_of(find({{Kind::kUrl, "file://./a%00b", "MacX"}})), IsEmpty());
}

TEST_F(SearchTest, NamesAreTakenWithoutTheirFolder) {
  EXPECT_THAT(paths_of(find({{Kind::kName, R"(C:\old\Base.vhd)", "parent name"}})),
              ElementsAre(folder_ + "/Base.vhd"));
}

TEST_F(SearchTest, CaseIsIgnoredWhereTheExactNameIsMissing) {
  const std::string parent = make("Übung/Диск/BASE.vhdx");
  EXPECT_THAT(paths_of(find({{Kind::kRelative, R"(.\übung\ДИСК\base.VHDX)", "relative_path"}})),
              ElementsAre(parent, folder_ + "/base.VHDX"));
  const std::string exact = make("Übung/Диск/base.vhdx");
  EXPECT_EQ(match_ignoring_case(folder_ + "/ÜBUNG/диск/base.vhdx"), exact);
  EXPECT_EQ(match_ignoring_case(folder_ + "/ÜBUNG/диск/bAse.vhdx"), parent);  // the first in byte order
  EXPECT_EQ(match_ignoring_case(folder_ + "/nothing/base"), folder_ + "/nothing/base");
}

TEST_F(SearchTest, TheEnvironmentSaysTheSame) {
  ::setenv("VDISK_PARENT_DIRS", "/a::/b", 1);
  ::setenv("VDISK_MAP_DRIVES", R"(C:=/c;\\s\h=/h;broken;=x;D:=)", 1);
  ::setenv("VDISK_CONFINE", "1", 1);
  const ParentSearch search = ParentSearch::from_environment();
  EXPECT_THAT(search.directories, ElementsAre("/a", "/b"));
  EXPECT_THAT(search.drive_map, ElementsAre(std::pair<std::string, std::string>("C:", "/c"),
                                            std::pair<std::string, std::string>(R"(\\s\h)", "/h")));
  EXPECT_TRUE(search.confine);
  EXPECT_FALSE(search.allow_raw);
  ::setenv("VDISK_CONFINE", "0", 1);
  ::unsetenv("VDISK_PARENT_DIRS");
  ::unsetenv("VDISK_MAP_DRIVES");
  EXPECT_FALSE(ParentSearch::from_environment().confine);
  ::unsetenv("VDISK_CONFINE");
  EXPECT_THAT(ParentSearch::from_environment().directories, IsEmpty());
}

}  // namespace
}  // namespace vdisk
