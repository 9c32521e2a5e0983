// SPDX-License-Identifier: Apache-2.0
//
// The door of the C++ room: DCMTK behind plain C. One header for data sets and codecs, one for sockets.
#pragma once

#include "CDCMTKDataSet.h"
#include "CDCMTKNetwork.h"
