# libroost: what an app embeds to be a device. A shared library and an archive out of src/client and what it stands on,
# both showing only the names that packaging/roost.map lists.

if(NOT TARGET roost_client)
	return()
endif()
target_include_directories(roost_client PUBLIC ${CMAKE_SOURCE_DIR}/include)

add_library(libroost SHARED $<TARGET_OBJECTS:roost_client>)
set_target_properties(libroost PROPERTIES OUTPUT_NAME roost VERSION ${PROJECT_VERSION} SOVERSION 0
	INSTALL_RPATH "$ORIGIN/roost" BUILD_WITH_INSTALL_RPATH ON # the program has it that way, too: CMakeLists.txt
	LINK_DEPENDS ${CMAKE_SOURCE_DIR}/packaging/roost.map LINKER_LANGUAGE C)
target_link_libraries(libroost PRIVATE roost_net roost_record roost_base roost_deps)
target_link_options(libroost PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/packaging/roost.map)

# The archive holds one object: linked together, and then everything made local that a program must not run into.
set(libroost_object ${CMAKE_BINARY_DIR}/roost.o)
set(libroost_archive ${CMAKE_BINARY_DIR}/lib/libroost.a)
add_custom_command(OUTPUT ${libroost_archive}
	DEPENDS roost_client roost_net roost_record roost_event roost_base
	COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/lib
	COMMAND ${CMAKE_LINKER} -r -o ${libroost_object} --whole-archive $<TARGET_FILE:roost_client> --no-whole-archive
		--start-group $<TARGET_FILE:roost_net> $<TARGET_FILE:roost_record> $<TARGET_FILE:roost_event>
		$<TARGET_FILE:roost_base> --end-group
	COMMAND ${CMAKE_OBJCOPY} --localize-hidden --wildcard --keep-global-symbol=roost_* ${libroost_object}
	COMMAND ${CMAKE_COMMAND} -E rm -f ${libroost_archive}
	COMMAND ${CMAKE_AR} rcs ${libroost_archive} ${libroost_object}
	COMMENT "Linking C static library lib/libroost.a" VERBATIM)
add_custom_target(libroost_static ALL DEPENDS ${libroost_archive})

set(libroost_requires "libuv sqlite3 openssl zlib")
if(ROOST_PRIVATE_DEPS)
	set(libroost_private "-L\${libdir}/roost -l:libyyjson.so.0 -Wl,-rpath,\${libdir}/roost -lpthread -lm")
else()
	set(libroost_private "-lyyjson -lpthread -lm")
endif()
configure_file(packaging/roost.pc.in ${CMAKE_BINARY_DIR}/roost.pc @ONLY)
install(TARGETS libroost LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${libroost_archive} DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/roost.h packaging/module.modulemap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES ${CMAKE_BINARY_DIR}/roost.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The example as an app would build it: with the header and the shared library, and with the archive.
if(ROOST_TESTS)
	foreach(kind shared static)
		add_executable(roost_example_${kind} examples/roost_example.c)
		target_include_directories(roost_example_${kind} PRIVATE include)
	endforeach()
	target_link_libraries(roost_example_shared PRIVATE libroost)
	target_link_libraries(roost_example_static PRIVATE ${libroost_archive} roost_deps)
	add_dependencies(roost_example_static libroost_static)
endif()
