# libroost: what an app embeds to be a device. One archive and one shared library out of src/client and what is below
# it, showing only the names that packaging/roost.map lists.

if(EXISTS ${CMAKE_SOURCE_DIR}/src/client/roost.h)
	add_library(libroost SHARED)
	set_target_properties(libroost PROPERTIES OUTPUT_NAME roost VERSION ${PROJECT_VERSION} SOVERSION 0
		INSTALL_RPATH "$ORIGIN/roost" LINK_DEPENDS ${CMAKE_SOURCE_DIR}/packaging/roost.map)
	target_link_libraries(libroost PRIVATE
		"-Wl,--whole-archive" roost_client "-Wl,--no-whole-archive" roost_deps)
	target_link_options(libroost PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/packaging/roost.map)
	set_target_properties(libroost PROPERTIES LINKER_LANGUAGE C)
	configure_file(packaging/roost.pc.in ${CMAKE_BINARY_DIR}/roost.pc @ONLY)
	install(TARGETS libroost LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
	install(FILES src/client/roost.h packaging/module.modulemap DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
	install(FILES ${CMAKE_BINARY_DIR}/roost.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
