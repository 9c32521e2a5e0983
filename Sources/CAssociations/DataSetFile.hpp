// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <openssl/evp.h>

namespace associations {

// A data set as it arrives: it is hashed, and appended to a descriptor once there is one. Nothing is parsed.
class DataSetFile {
public:
    // `gathered` holds bytes until they are written; it is lent so that its memory is used again.
    explicit DataSetFile(std::vector<uint8_t> &gathered);
    ~DataSetFile();
    DataSetFile(const DataSetFile &) = delete;
    DataSetFile &operator=(const DataSetFile &) = delete;

    // Takes the next bytes. After a failure they are only counted, so that the peer can go on to the end.
    void append(const uint8_t *bytes, size_t length);
    // Writes to a descriptor from now on, which is owned. A data set of more than `most` bytes is a failure (EFBIG).
    void open(int descriptor, uint64_t most);
    // Makes the data set a failure, unless it is one already.
    void fail(int error) {
        if (failure_ == 0) failure_ = error;
    }
    // Writes what is left, and closes the descriptor.
    void finish(uint8_t digest[32]);
    // Bytes that are held because there is no descriptor yet, or because they are few.
    size_t held() const { return gathered_.size(); }
    uint64_t bytes() const { return bytes_; }
    // The errno of the write that failed; 0 for none.
    int failure() const { return failure_; }

private:
    void write(const uint8_t *bytes, size_t length);
    void writeHeld();

    int descriptor_ = -1;
    uint64_t most_ = UINT64_MAX;
    EVP_MD_CTX *digest_;
    std::vector<uint8_t> &gathered_;
    uint64_t bytes_ = 0;
    int failure_ = 0;
};

} // namespace associations
