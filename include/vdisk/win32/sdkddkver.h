// SPDX-License-Identifier: Apache-2.0
/* Windows version numbers and the defaults of WINVER, _WIN32_WINNT and NTDDI_VERSION.
 *
 * A client that defines none of the three sees the newest API. One that defines some of them, as on Windows
 * to keep itself to an older system, sees what that system had (virtdisk-api.md 3, header gates). */
#ifndef VDISK_WIN32_SDKDDKVER_H_
#define VDISK_WIN32_SDKDDKVER_H_

#define _WIN32_WINNT_WIN7 0x0601
#define _WIN32_WINNT_WIN8 0x0602
#define _WIN32_WINNT_WINBLUE 0x0603
#define _WIN32_WINNT_WINTHRESHOLD 0x0A00
#define _WIN32_WINNT_WIN10 0x0A00

#define NTDDI_WIN7 0x06010000
#define NTDDI_WIN8 0x06020000
#define NTDDI_WINBLUE 0x06030000
#define NTDDI_WINTHRESHOLD 0x0A000000
#define NTDDI_WIN10 0x0A000000
#define NTDDI_WIN10_TH2 0x0A000001
#define NTDDI_WIN10_RS1 0x0A000002
#define NTDDI_WIN10_RS2 0x0A000003
#define NTDDI_WIN10_RS3 0x0A000004
#define NTDDI_WIN10_RS4 0x0A000005
#define NTDDI_WIN10_RS5 0x0A000006
#define NTDDI_WIN10_19H1 0x0A000007
#define NTDDI_WIN10_VB 0x0A000008
#define NTDDI_WIN10_MN 0x0A000009
#define NTDDI_WIN10_FE 0x0A00000A
#define NTDDI_WIN10_CO 0x0A00000B
#define NTDDI_WIN10_NI 0x0A00000C

#define OSVERSION_MASK 0xFFFF0000U
#define OSVER(Version) ((Version) & OSVERSION_MASK)

#if !defined(_WIN32_WINNT)
#if defined(NTDDI_VERSION)
#define _WIN32_WINNT (OSVER(NTDDI_VERSION) >> 16)
#else
#define _WIN32_WINNT _WIN32_WINNT_WIN10
#endif
#endif

#if !defined(NTDDI_VERSION)
#if _WIN32_WINNT >= _WIN32_WINNT_WIN10
#define NTDDI_VERSION NTDDI_WIN10_NI
#else
#define NTDDI_VERSION (_WIN32_WINNT << 16)
#endif
#endif

#if !defined(WINVER)
#define WINVER _WIN32_WINNT
#endif

#endif
