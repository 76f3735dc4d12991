# The libraries Roost stands on, all behind one target: roost_deps.
#
# Everything comes from the distribution through pkg-config. yyjson and llhttp are younger than Debian 12; where the
# system has none, `./dev deps` puts them into build/deps (see there), and that place is taken first when it exists.
# Linking is --as-needed, so a program only loads what it calls.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

set(roost_deps_dir ${CMAKE_SOURCE_DIR}/build/deps)
add_library(roost_deps INTERFACE)
target_link_libraries(roost_deps INTERFACE Threads::Threads m)

# name in pkg-config, lowest version that works
set(roost_pkgs
	libuv 1.43
	openssl 3.0
	sqlite3 3.40
	zlib 1.2
	libzstd 1.5
	libxxhash 0.8
	libedit 3.1
	libqrencode 4.1
	libutf8proc 2.5
	avahi-client 0.8
	libcyaml 1.3
)
while(roost_pkgs)
	list(POP_FRONT roost_pkgs pkg version)
	pkg_check_modules(${pkg} REQUIRED IMPORTED_TARGET GLOBAL ${pkg}>=${version})
	target_link_libraries(roost_deps INTERFACE PkgConfig::${pkg})
endwhile()

# Of libcurl only the headers: the program loads it itself when it needs it (src/net/curl.h), so that to link with it is
# a mistake the linker finds. The lowest version stands in packaging/control.in too.
pkg_check_modules(libcurl REQUIRED IMPORTED_TARGET GLOBAL libcurl>=7.87)
target_include_directories(roost_deps SYSTEM INTERFACE ${libcurl_INCLUDE_DIRS})
target_link_libraries(roost_deps INTERFACE ${CMAKE_DL_LIBS})

# Of ncurses only what is linked: its flags would define less than ours do.
pkg_check_modules(ncursesw REQUIRED ncursesw>=6.2)
target_link_libraries(roost_deps INTERFACE ${ncursesw_LINK_LIBRARIES})

if(EXISTS ${roost_deps_dir}/include/yyjson.h AND EXISTS ${roost_deps_dir}/include/llhttp.h)
	set(ROOST_PRIVATE_DEPS ON)
	target_include_directories(roost_deps SYSTEM INTERFACE ${roost_deps_dir}/include)
	target_link_libraries(roost_deps INTERFACE
		${roost_deps_dir}/lib/libyyjson.so ${roost_deps_dir}/lib/libllhttp.a)
	# Where the installed program and libroost look for the private one, so that those just built find it as they do.
	foreach(dir lib ${CMAKE_INSTALL_LIBDIR})
		file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/${dir})
		file(CREATE_LINK ${roost_deps_dir}/lib ${CMAKE_BINARY_DIR}/${dir}/roost SYMBOLIC)
	endforeach()
else()
	set(ROOST_PRIVATE_DEPS OFF)
	foreach(pkg yyjson libllhttp)
		pkg_check_modules(${pkg} IMPORTED_TARGET GLOBAL ${pkg})
		if(NOT ${pkg}_FOUND)
			message(FATAL_ERROR "${pkg} is missing; run: ./dev deps")
		endif()
		target_link_libraries(roost_deps INTERFACE PkgConfig::${pkg})
	endforeach()
endif()

find_path(UTHASH_INCLUDE uthash.h REQUIRED)
pkg_check_modules(cmocka IMPORTED_TARGET GLOBAL cmocka)
