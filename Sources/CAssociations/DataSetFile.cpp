// SPDX-License-Identifier: Apache-2.0
#include "DataSetFile.hpp"

#include <cerrno>
#include <unistd.h>

namespace associations {

namespace {

constexpr size_t writtenAtOnce = 64u << 10;

} // namespace

DataSetFile::DataSetFile(int descriptor, uint64_t most)
    : descriptor_(descriptor), most_(most), digest_(EVP_MD_CTX_new()) {
    EVP_DigestInit_ex(digest_, EVP_sha256(), nullptr);
}

DataSetFile::~DataSetFile() {
    EVP_MD_CTX_free(digest_);
    if (descriptor_ >= 0) ::close(descriptor_);
}

void DataSetFile::append(const uint8_t *bytes, size_t length) {
    bytes_ += length;
    if (failure_ == 0 && bytes_ > most_) failure_ = EFBIG;
    if (failure_ != 0) return;
    EVP_DigestUpdate(digest_, bytes, length);
    if (gathered_.size() + length < writtenAtOnce) {
        gathered_.insert(gathered_.end(), bytes, bytes + length);
        return;
    }
    write(gathered_.data(), gathered_.size());
    gathered_.clear();
    write(bytes, length);
}

void DataSetFile::finish(uint8_t digest[32]) {
    write(gathered_.data(), gathered_.size());
    EVP_DigestFinal_ex(digest_, digest, nullptr);
    ::close(descriptor_);
    descriptor_ = -1;
}

void DataSetFile::write(const uint8_t *bytes, size_t length) {
    while (length > 0 && failure_ == 0) {
        const ssize_t count = ::write(descriptor_, bytes, length);
        if (count >= 0) {
            bytes += count;
            length -= static_cast<size_t>(count);
        } else if (errno != EINTR) {
            failure_ = errno;
        }
    }
}

} // namespace associations
