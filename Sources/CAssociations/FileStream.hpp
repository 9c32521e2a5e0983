// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dcmtk/config/osconfig.h"
#include "dcmtk/dcmdata/dcistrma.h"

#include <cstdint>
#include <vector>

namespace associations {

// Reads part of an open file, at offsets of its own. A file that ends too early is an error.
class FileProducer : public DcmProducer {
public:
    // `begin` and `end` are offsets in the file.
    FileProducer(int file, offile_off_t begin, offile_off_t end) : file_(file), position_(begin), end_(end) {}
    OFBool good() const override { return status_.good(); }
    OFCondition status() const override { return status_; }
    OFBool eos() override { return position_ >= end_; }
    offile_off_t avail() override { return end_ - position_; }
    offile_off_t read(void *bytes, offile_off_t length) override;
    offile_off_t skip(offile_off_t length) override;
    void putback(offile_off_t length) override { position_ -= length; }

    int file() const { return file_; }
    offile_off_t position() const { return position_; }
    offile_off_t end() const { return end_; }

private:
    // Reads at `position_`, without moving it.
    offile_off_t pread(uint8_t *bytes, offile_off_t length);

    int file_;
    offile_off_t position_;
    offile_off_t end_;
    OFCondition status_ = EC_Normal;
    // The bytes of the file from `bufferBegin_` on.
    std::vector<uint8_t> buffer_;
    offile_off_t bufferBegin_ = 0;
};

// A data set in an open file. DCMTK leaves long values in the file until it writes them, so that an object of any length
// needs little memory. The file has to stay open as long as the data set lives.
class FileStream : public DcmInputStream {
public:
    FileStream(int file, offile_off_t begin, offile_off_t end) : DcmInputStream(&producer_), producer_(file, begin, end) {}
    DcmInputStreamFactory *newFactory() const override;

private:
    FileProducer producer_;
};

} // namespace associations
