// SPDX-License-Identifier: Apache-2.0

#include "CPlatform.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <zlib.h>

// The opaque handle is libcrypto's own context, without another structure around it.
static EVP_MD_CTX *context(cplatform_sha256 *digest) { return (EVP_MD_CTX *)digest; }

static EVP_MD *fetched;

static void fetch(void) { fetched = EVP_MD_fetch(NULL, "SHA256", NULL); }

// The algorithm, looked up once: libcrypto would look up EVP_sha256() for each digest.
static const EVP_MD *sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    return fetched != NULL ? fetched : EVP_sha256();
}

cplatform_sha256 *cplatform_sha256_create(void)
{
    EVP_MD_CTX *made = EVP_MD_CTX_new();
    if (made != NULL && EVP_DigestInit_ex(made, sha256(), NULL) != 1) {
        EVP_MD_CTX_free(made);
        made = NULL;
    }
    return (cplatform_sha256 *)made;
}

cplatform_sha256 *cplatform_sha256_copy(const cplatform_sha256 *digest)
{
    EVP_MD_CTX *made = EVP_MD_CTX_new();
    if (made != NULL && EVP_MD_CTX_copy_ex(made, (const EVP_MD_CTX *)digest) != 1) {
        EVP_MD_CTX_free(made);
        made = NULL;
    }
    return (cplatform_sha256 *)made;
}

int cplatform_sha256_update(cplatform_sha256 *digest, const void *bytes, size_t count)
{
    return EVP_DigestUpdate(context(digest), bytes, count);
}

int cplatform_sha256_finish(cplatform_sha256 *digest, uint8_t hash[CPLATFORM_SHA256_SIZE])
{
    return EVP_DigestFinal_ex(context(digest), hash, NULL);
}

void cplatform_sha256_destroy(cplatform_sha256 *digest) { EVP_MD_CTX_free(context(digest)); }

int cplatform_hmac_sha256(
    const void *key, size_t key_count, const void *bytes, size_t count, uint8_t code[CPLATFORM_SHA256_SIZE])
{
    if (key_count > INT_MAX) return 0;
    return HMAC(EVP_sha256(), key, (int)key_count, bytes, count, code, NULL) != NULL;
}

uint32_t cplatform_crc32(uint32_t checksum, const void *bytes, size_t count)
{
    // zlib resets the checksum if it gets a null pointer, so a possibly null pointer of zero bytes must not reach it.
    return count == 0 ? checksum : (uint32_t)crc32_z(checksum, bytes, count);
}
