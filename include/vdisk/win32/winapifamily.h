// SPDX-License-Identifier: Apache-2.0
/* Every API family is available: there is no sandboxed application model here to withhold one from. */
#ifndef VDISK_WIN32_WINAPIFAMILY_H_
#define VDISK_WIN32_WINAPIFAMILY_H_

#define WINAPI_PARTITION_DESKTOP 1
#define WINAPI_PARTITION_APP 1
#define WINAPI_PARTITION_SYSTEM 1
#define WINAPI_PARTITION_PKG_VHD 1
#define WINAPI_FAMILY_DESKTOP_APP 100
#ifndef WINAPI_FAMILY
#define WINAPI_FAMILY WINAPI_FAMILY_DESKTOP_APP
#endif
#define WINAPI_FAMILY_PARTITION(Partitions) (Partitions)

#endif
