# How every file is compiled: C17, all warnings as errors, hardened in release, instrumented where a preset asks.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)

if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer -fno-optimize-sibling-calls")

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
	set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
	-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wdouble-promotion -Wformat=2 -Wstrict-prototypes
	-Wmissing-prototypes -Werror -fno-strict-aliasing
	# __FILE__ in an assertion names a place in the repository, on whatever machine it was built
	-ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
add_link_options(-Wl,--as-needed)

# Where CMake would add -pie only on request.
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

if(NOT CMAKE_BUILD_TYPE STREQUAL "Release")
	# Where tests ask for them through the environment, such a program freezes, fails and forgets; people's never does.
	add_compile_definitions(ROOST_TEST_FAULTS)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
	add_compile_options(-fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
	if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|i.86")
		add_compile_options(-fcf-protection)
	elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
		add_compile_options(-mbranch-protection=standard)
	endif()
	add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()

if(ROOST_SANITIZE)
	add_compile_options(-fsanitize=${ROOST_SANITIZE} -fno-sanitize-recover=all)
	add_link_options(-fsanitize=${ROOST_SANITIZE})
endif()
if(ROOST_COVERAGE)
	add_compile_options(--coverage -fprofile-update=atomic)
	add_link_options(--coverage)
endif()
if(ROOST_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
		message(FATAL_ERROR "the fuzz targets need clang (libFuzzer); use: ./dev build fuzz")
	endif()
	add_compile_options(-fsanitize=fuzzer-no-link)
endif()
