/* TLS over memory: bytes from the socket go in, plain bytes come out, and the other way round. OpenSSL 3, TLS 1.2 and
 * newer, ALPN http/1.1. Knows no socket; loop thread only. */
#ifndef ROOST_NET_TLS_H
#define ROOST_NET_TLS_H

#include "base/base.h"

struct tls_context; /* certificate and settings, shared by connections */
struct tls;

#define TLS_RECORD_BYTES 16384

/* A server's: PEM files with the certificate chain and its key. */
MUST_USE enum err tls_context_server(const char *cert_path, const char *key_path, struct tls_context **out,
				     struct errinfo *info);
/* A client's: peers are verified against the system's certificates, or those of `ca_path` when it is not NULL. */
MUST_USE enum err tls_context_client(const char *ca_path, struct tls_context **out, struct errinfo *info);
void tls_context_free(struct tls_context *ctx); /* connections made from it go on */

/* `server_name`: the name a client expects; NULL for a server. NULL: OpenSSL has no memory for it. */
struct tls *tls_new(struct tls_context *ctx, const char *server_name);
void tls_free(struct tls *t);

/* Bytes that came from the socket. False: OpenSSL has no memory for them, and the connection is lost. */
MUST_USE bool tls_feed(struct tls *t, const char *p, size_t n);
enum tls_result { TLS_DATA, TLS_MORE, TLS_END, TLS_BAD };
/* Plain bytes out, performing the handshake on the way. TLS_MORE: feed first. TLS_END: the peer said goodbye. */
enum tls_result tls_read(struct tls *t, char *out, size_t cap, size_t *out_n);
bool tls_is_ready(const struct tls *t); /* the handshake is done */
/* Encrypts at most TLS_RECORD_BYTES; only when ready. False on a failure that ends the connection. */
bool tls_write(struct tls *t, const char *p, size_t n);
void tls_goodbye(struct tls *t);
/* Bytes for the socket, and how many of them it took. */
struct str tls_out(struct tls *t);
void tls_out_drop(struct tls *t, size_t n);

#endif
