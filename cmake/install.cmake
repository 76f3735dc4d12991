# What `cmake --install` lays down beside the program and the library: services, manual pages, licence, and the one
# library that the system may not have.

install(FILES packaging/roost.service DESTINATION lib/systemd/system)
install(FILES packaging/roost.user.service DESTINATION lib/systemd/user RENAME roost.service)
install(FILES packaging/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/roost)
if(ROOST_PRIVATE_DEPS)
	file(GLOB private_libs ${roost_deps_dir}/lib/libyyjson.so.*)
	install(FILES ${private_libs} DESTINATION ${CMAKE_INSTALL_LIBDIR}/roost)
endif()

# The manual pages and the shells' completions are written by the program from the tables of its commands.
if(ROOST_MAN AND TARGET roost)
	set(man_dir ${CMAKE_BINARY_DIR}/man)
	file(MAKE_DIRECTORY ${man_dir})
	add_custom_command(OUTPUT ${man_dir}/roost.1 DEPENDS roost
		COMMAND roost help --man-all ${man_dir}
		COMMAND roost completion bash > ${CMAKE_BINARY_DIR}/completion.bash
		COMMAND roost completion zsh > ${CMAKE_BINARY_DIR}/completion.zsh
		COMMAND roost completion fish > ${CMAKE_BINARY_DIR}/completion.fish
		COMMENT "Writing the manual pages" VERBATIM)
	add_custom_target(man ALL DEPENDS ${man_dir}/roost.1)
	install(DIRECTORY ${man_dir}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
	install(FILES ${CMAKE_BINARY_DIR}/completion.bash
		DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME roost)
	install(FILES ${CMAKE_BINARY_DIR}/completion.zsh
		DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions RENAME _roost)
	install(FILES ${CMAKE_BINARY_DIR}/completion.fish
		DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME roost.fish)
endif()
