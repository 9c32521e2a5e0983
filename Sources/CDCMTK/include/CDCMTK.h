// SPDX-License-Identifier: Apache-2.0
//
// The door of the C++ room: DCMTK's data sets and codecs behind plain C.
#pragma once

#include "CDCMTKDataSet.h"
