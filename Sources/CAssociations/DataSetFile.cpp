// SPDX-License-Identifier: Apache-2.0
#include "DataSetFile.hpp"

#include <cerrno>
#include <unistd.h>

namespace associations {

namespace {

constexpr size_t writtenAtOnce = 64u << 10;

} // namespace

DataSetFile::DataSetFile(std::vector<uint8_t> &gathered) : digest_(EVP_MD_CTX_new()), gathered_(gathered) {
    gathered_.clear();
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
    // Short fragments are written together.
    if (descriptor_ < 0 || gathered_.size() + length < writtenAtOnce) {
        gathered_.insert(gathered_.end(), bytes, bytes + length);
        return;
    }
    writeHeld();
    write(bytes, length);
}

void DataSetFile::open(int descriptor, uint64_t most) {
    descriptor_ = descriptor;
    most_ = most;
    if (failure_ == 0 && bytes_ > most_) failure_ = EFBIG;
}

void DataSetFile::finish(uint8_t digest[32]) {
    writeHeld();
    EVP_DigestFinal_ex(digest_, digest, nullptr);
    ::close(descriptor_);
    descriptor_ = -1;
}

void DataSetFile::writeHeld() {
    write(gathered_.data(), gathered_.size());
    gathered_.clear();
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
