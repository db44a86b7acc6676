// SPDX-License-Identifier: Apache-2.0
/* Attachments without devices, for the C tests of their rules: a program that links fake_attachments.cc has
 * them in place of the real ones. A fake attachment holds the image's lock and has a record in the registry,
 * as a server does, and a device node that does not exist, "/dev/fakeN". */
#ifndef VDISK_TESTS_CAPI_FAKE_ATTACHMENTS_H_
#define VDISK_TESTS_CAPI_FAKE_ATTACHMENTS_H_

#ifdef __cplusplus
extern "C" {
#endif

struct fake_options {
  int writable_open, read_only, permanent, partitions, at_boot, has_range;
  unsigned long long range_at, range_length;
};

/* What the last attach was asked for. */
struct fake_options fake_last_options(void);
/* How many are attached. */
int fake_count(void);
/* The next attach fails with this code. */
void fake_fail_next_attach(unsigned code);
/* While set, detach fails with 170. */
void fake_set_busy(int busy);
/* All attachments end, as if their servers had been ended by somebody else. */
void fake_end_all(void);
/* The next attachment passes the device that `path` lies on for its own: as a partition, or as the whole
 * disk. Returns 0 when `path` lies on none. */
int fake_next_device_of(const char* path, int as_partition);

#ifdef __cplusplus
}
#endif

#endif
