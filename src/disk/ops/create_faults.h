// SPDX-License-Identifier: Apache-2.0
//
// Options of `create` that mean nothing. The reference page gives 87 for those that it names
// (virtdisk-api.md 3.2); 87 for the others, 50 and 0xC03A0012 are the nearest of winerror.h's, *unverified*.
#pragma once

#include "base/fault.h"
#include "base/win32_codes.h"

namespace vdisk::ops::faults {

inline constexpr Fault kCreateFormat{"create.format", win32::kVirtdiskProviderNotFound,
                                     "Neither the options nor the extension name a format."};
inline constexpr Fault kCreateNotCreatable{"create.not_creatable", win32::kNotSupported,
                                           "Images of this format are opened, but cannot be made."};
inline constexpr Fault kCreateType{"create.type", win32::kInvalidParameter,
                                   "The format has no disks of this type."};
inline constexpr Fault kCreateTypeOfChild{"create.type_of_child", win32::kInvalidParameter,
                                          "A disk with a parent is of a type other than differencing."};
inline constexpr Fault kCreateNoParent{"create.no_parent", win32::kInvalidParameter,
                                       "A differencing disk is asked for without a parent."};
inline constexpr Fault kCreatePreallocation{"create.preallocation", win32::kInvalidParameter,
                                            "Space is to be taken for a disk that is not fixed."};
inline constexpr Fault kCreateSizeMissing{"create.size.missing", win32::kInvalidParameter,
                                          "A disk without a parent has no size."};
inline constexpr Fault kCreateSizeTooSmall{"create.size.too_small", win32::kInvalidParameter,
                                           "The virtual size is below the least that is made."};
inline constexpr Fault kCreateSizeTooLarge{"create.size.too_large", win32::kVhdInvalidSize,
                                           "The virtual size is beyond the format's limit."};
inline constexpr Fault kCreateSizeUnaligned{"create.size.unaligned", win32::kInvalidParameter,
                                            "The virtual size is no whole number of logical sectors."};
inline constexpr Fault kCreateSizeOfChild{"create.size.child", win32::kInvalidParameter,
                                          "The format's children have their parent's size."};
inline constexpr Fault kCreateSizeBelowParent{"create.size.below_parent", win32::kInvalidParameter,
                                              "A child would be smaller than its parent."};
inline constexpr Fault kCreateBlock{"create.block", win32::kInvalidParameter,
                                    "The block size is not one that the format offers."};
inline constexpr Fault kCreateBlockOfFixed{"create.block_of_fixed", win32::kInvalidParameter,
                                           "A block size is given for a disk whose blocks nobody chooses."};
inline constexpr Fault kCreateLogicalSector{"create.sector.logical", win32::kInvalidParameter,
                                            "The logical sector size is not one that the format offers."};
inline constexpr Fault kCreatePhysicalSector{"create.sector.physical", win32::kInvalidParameter,
                                             "The physical sector size is not one that the format offers."};
inline constexpr Fault kCreateSectorOrder{"create.sector.order", win32::kInvalidParameter,
                                          "Physical sectors are smaller than logical ones."};
inline constexpr Fault kCreateSectorOfChild{"create.sector.child", win32::kInvalidParameter,
                                            "Child and parent would have different logical sectors."};
inline constexpr Fault kCreateParentFormat{"create.parent.format", win32::kInvalidParameter,
                                           "Child and parent would be of different formats."};
inline constexpr Fault kCreateParentIdentifier{
    "create.parent.identifier", win32::kVhdChildParentIdMismatch,
    "The parent has no identifier by which a child could know it again."};
inline constexpr Fault kCreateParentName{"create.parent.name", win32::kInvalidName,
                                         "The parent's path cannot be recorded in an image."};
inline constexpr Fault kCreateEpoch{"create.source_date_epoch", win32::kInvalidParameter,
                                    "SOURCE_DATE_EPOCH is no number of seconds."};

inline constexpr const Fault* kCreate[] = {
    &kCreateFormat,       &kCreateNotCreatable,  &kCreateType,          &kCreateTypeOfChild,
    &kCreateNoParent,     &kCreatePreallocation, &kCreateSizeMissing,   &kCreateSizeTooSmall,
    &kCreateSizeTooLarge, &kCreateSizeUnaligned, &kCreateSizeOfChild,   &kCreateSizeBelowParent,
    &kCreateBlock,        &kCreateBlockOfFixed,  &kCreateLogicalSector, &kCreatePhysicalSector,
    &kCreateSectorOrder,  &kCreateSectorOfChild, &kCreateParentFormat,  &kCreateParentIdentifier,
    &kCreateParentName,   &kCreateEpoch};

}  // namespace vdisk::ops::faults
