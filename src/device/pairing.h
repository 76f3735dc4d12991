/* Pairing: how a device gets its credential.
 *
 * A code is eight letters and digits without look-alikes ("7KQM-2XWD", 40 bits), belongs to one user, lives for
 * limits.pairing_ms and works once. A token is 256 random bits in base64url after "rst_". The store keeps only SHA-256 of
 * both. Commands run on the writer thread; the rest is pure. */
#ifndef ROOST_DEVICE_PAIRING_H
#define ROOST_DEVICE_PAIRING_H

#include "store/store.h"

#define PAIR_CODE_LEN 9 /* with its dash */
#define TOKEN_LEN 47

void pair_code_new(char out[PAIR_CODE_LEN + 1]);
/* SHA-256 of the code as a person may type it: case, dashes and spaces do not count. False when it cannot be a code. */
bool pair_code_hash(struct str typed, unsigned char out[32]);
void token_new(char out[TOKEN_LEN + 1]);
/* False when it does not look like a token. */
bool token_hash(struct str token, unsigned char out[32]);

struct cmd_pair_make {
	struct store_op op;
	struct str user; /* name or id; STR_NONE: the only user, made when there is none */
	unsigned char hash[32];
	int64_t expires_ms;
	struct user_row out_user;
};
enum err cmd_pair_make_run(struct txn *t, struct store_op *op);

/* What a device says of itself; also the fields of its Device record. */
struct device_info {
	struct str device_id, name, platform, app_version;
};

/* What is read of a Device record; "" where it says nothing. */
struct device_fields {
	struct str name, platform, app_version, last_seen; /* views of doc */
	struct json_doc *doc;
};
void device_fields_read(struct device_fields *d, struct str fields);
void device_fields_release(struct device_fields *d);

/* Takes a code (or, for the operator, names the user) and makes the credential and the Device record. */
struct cmd_pair_take {
	struct store_op op;
	const unsigned char *code_hash; /* NULL: `user` says who (operator only) */
	struct str user;
	struct device_info device;
	unsigned char token_hash[32];
	int64_t devices_max;
	struct user_row out_user;
};
enum err cmd_pair_take_run(struct txn *t, struct store_op *op);

/* device:hello: keeps the Device record true. Nothing is written when nothing changed. */
struct cmd_device_seen {
	struct store_op op;
	int64_t user;
	struct device_info device;
	int64_t last_seen_ms; /* 0: leave alone */
};
enum err cmd_device_seen_run(struct txn *t, struct store_op *op);

struct cmd_revoke {
	struct store_op op;
	struct str user; /* name or id; STR_NONE with user_no set */
	int64_t user_no;
	struct str device_id;
	uint32_t out_principal;
	int64_t out_user;
};
enum err cmd_revoke_run(struct txn *t, struct store_op *op);

/* Looks a token up. ERR_UNAUTHORIZED when unknown, revoked, or its user is disabled. */
struct cmd_auth {
	struct store_op op;
	unsigned char hash[32];
	struct cred_row cred;  /* out */
	struct zone_info home; /* out: the user's own zone, seq 0 when it is new */
};
enum err cmd_auth_run(struct txn *t, struct store_op *op);

#endif
