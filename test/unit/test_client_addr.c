#include "net/addr.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/base.h"

static enum addr_kind kind_of(const char *text)
{
	struct sockaddr_in a4 = {.sin_family = AF_INET};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6};
	if (inet_pton(AF_INET, text, &a4.sin_addr) == 1) return addr_kind((struct sockaddr *)&a4);
	assert_int_equal(inet_pton(AF_INET6, text, &a6.sin6_addr), 1);
	return addr_kind((struct sockaddr *)&a6);
}

static void every_address_has_its_kind(void **state)
{
	(void)state;
	static const struct {
		const char *addr;
		enum addr_kind kind;
	} rows[] = {
		{"1.1.1.1", ADDR_PUBLIC},
		{"8.8.8.8", ADDR_PUBLIC},
		{"172.15.0.1", ADDR_PUBLIC},
		{"172.32.0.1", ADDR_PUBLIC},
		{"100.63.0.1", ADDR_PUBLIC},
		{"198.20.0.1", ADDR_PUBLIC},
		{"127.0.0.1", ADDR_PRIVATE},
		{"127.255.0.9", ADDR_PRIVATE},
		{"10.1.2.3", ADDR_PRIVATE},
		{"172.16.0.1", ADDR_PRIVATE},
		{"172.31.255.1", ADDR_PRIVATE},
		{"192.168.9.9", ADDR_PRIVATE},
		{"100.64.0.1", ADDR_PRIVATE},
		{"0.0.0.0", ADDR_PRIVATE},
		{"198.19.0.1", ADDR_PRIVATE},
		{"169.254.169.254", ADDR_FORBIDDEN},
		{"224.0.0.1", ADDR_FORBIDDEN},
		{"239.1.1.1", ADDR_FORBIDDEN},
		{"255.255.255.255", ADDR_FORBIDDEN},
		{"192.0.0.192", ADDR_FORBIDDEN},
		{"::1", ADDR_PRIVATE},
		{"::", ADDR_PRIVATE},
		{"fc00::1", ADDR_PRIVATE},
		{"fd12::1", ADDR_PRIVATE},
		{"fd00:ec2::254", ADDR_FORBIDDEN},
		{"fe80::1", ADDR_FORBIDDEN},
		{"febf::1", ADDR_FORBIDDEN},
		{"ff02::1", ADDR_FORBIDDEN},
		{"2606:4700::1111", ADDR_PUBLIC},
		{"::ffff:127.0.0.1", ADDR_PRIVATE},
		{"::ffff:169.254.1.1", ADDR_FORBIDDEN},
		{"::ffff:1.1.1.1", ADDR_PUBLIC},
		{"64:ff9b::a9fe:a9fe", ADDR_FORBIDDEN},
		{"64:ff9b::808:808", ADDR_PUBLIC},
		{"2002:a9fe:a9fe::1", ADDR_FORBIDDEN},
		{"2002:7f00:1::", ADDR_PRIVATE},
		{"::10.0.0.1", ADDR_PRIVATE},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (kind_of(rows[i].addr) != rows[i].kind) print_error("%s\n", rows[i].addr);
		assert_int_equal(kind_of(rows[i].addr), rows[i].kind);
	}
}

static void what_is_not_ip_is_forbidden(void **state)
{
	(void)state;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	assert_int_equal(addr_kind((struct sockaddr *)&un), ADDR_FORBIDDEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_address_has_its_kind),
		cmocka_unit_test(what_is_not_ip_is_forbidden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
