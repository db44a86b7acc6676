// SPDX-License-Identifier: Apache-2.0
/* GUID emission (virtdisk-api.md 9.3): two units that define the GUIDs link with each other and with this
 * one, which leaves them to the library. All three must see the same values. */
#include <virtdisk.h>
#include <windows.h>

#include <cstdio>

DEFINE_GUID(ClientItem, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); /* a declaration here: the values do not count */

extern "C" {
const GUID* microsoft_in_c();
const GUID* microsoft_in_cc();
}

#define EXPECT(condition) \
  if (!(condition)) return std::printf("line %d: %s\n", __LINE__, #condition), 1

int main() {
  const GUID microsoft = {0xEC984AEC, 0xA0F9, 0x47E9, {0x90, 0x1F, 0x71, 0x41, 0x5A, 0x66, 0x34, 0x5B}};
  EXPECT(VIRTUAL_STORAGE_TYPE_VENDOR_MICROSOFT == microsoft);
  EXPECT(*microsoft_in_c() == microsoft);
  EXPECT(IsEqualGUID(*microsoft_in_cc(), microsoft));
  EXPECT(VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN == GUID_NULL);
  EXPECT(VIRTUAL_STORAGE_TYPE_VENDOR_UNKNOWN != microsoft);
  EXPECT(ClientItem.Data1 == 0x01020304 && ClientItem.Data4[7] == 0x10);
  return 0;
}
