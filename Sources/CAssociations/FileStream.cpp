// SPDX-License-Identifier: Apache-2.0
#include "FileStream.hpp"

#include "dcmtk/dcmdata/dcerror.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unistd.h>

namespace associations {

namespace {

constexpr offile_off_t readAhead = 64 << 10;

// Opens the stream again where a long value begins.
class FileStreamFactory : public DcmInputStreamFactory {
public:
    FileStreamFactory(int file, offile_off_t begin, offile_off_t end) : file_(file), begin_(begin), end_(end) {}
    DcmInputStream *create() const override { return new FileStream(file_, begin_, end_); }
    DcmInputStreamFactory *clone() const override { return new FileStreamFactory(*this); }
    DcmInputStreamFactoryType ident() const override { return DFT_DcmInputFileStreamFactory; }

private:
    int file_;
    offile_off_t begin_;
    offile_off_t end_;
};

} // namespace

DcmInputStreamFactory *FileStream::newFactory() const {
    // A filter, such as for a deflated data set, would hide where the value lies in the file.
    if (currentProducer() != &producer_) return nullptr;
    return new FileStreamFactory(producer_.file(), producer_.position(), producer_.end());
}

offile_off_t FileProducer::pread(uint8_t *bytes, offile_off_t length) {
    offile_off_t done = 0;
    while (done < length) {
        const ssize_t count = ::pread(file_, bytes + done, static_cast<size_t>(length - done), position_ + done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            status_ = EC_InvalidStream;
            break;
        }
        done += count;
    }
    return done;
}

offile_off_t FileProducer::read(void *bytes, offile_off_t length) {
    length = std::min(length, avail());
    auto *target = static_cast<uint8_t *>(bytes);
    offile_off_t done = 0;
    while (done < length && status_.good()) {
        const offile_off_t ahead = bufferBegin_ + static_cast<offile_off_t>(buffer_.size()) - position_;
        offile_off_t count = length - done;
        if (position_ >= bufferBegin_ && ahead > 0) {
            count = std::min(count, ahead);
            std::memcpy(target + done, buffer_.data() + (position_ - bufferBegin_), static_cast<size_t>(count));
        } else if (count >= readAhead) {
            count = pread(target + done, count);
        } else {
            buffer_.resize(static_cast<size_t>(std::min(readAhead, avail())));
            buffer_.resize(static_cast<size_t>(pread(buffer_.data(), static_cast<offile_off_t>(buffer_.size()))));
            bufferBegin_ = position_;
            continue;
        }
        position_ += count;
        done += count;
    }
    return done;
}

offile_off_t FileProducer::skip(offile_off_t length) {
    length = std::min(length, avail());
    position_ += length;
    return length;
}

} // namespace associations
