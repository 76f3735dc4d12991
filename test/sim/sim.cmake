# The simulator: the daemon's own code over twins of what it stands on. Calls of the program (not of the libraries below
# it) to the functions listed here are led to test/sim (os, fiber, plants). libuv, net/ and the system's VFS are
# replaced by definitions of the same names, which the linker finds first.

set(sim_wraps clock_gettime getrandom flock prctl setrlimit _exit pthread_create pthread_join pthread_cond_wait
	pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast
	cmd_send_run cmd_finish_run store_submit relay_committed)

# The core of libroost in one object that shows only its own header: inside, it has names that the server has too.
function(sim_client_core out)
	file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/client/*.c)
	list(FILTER sources EXCLUDE REGEX "/(api|disk|drive|driver|drives|link|shell)\\.c$") # its shell: loop, socket, file
	add_library(sim_client OBJECT ${sources})
	target_include_directories(sim_client PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
	target_compile_definitions(sim_client PRIVATE ROOST_VERSION="${PROJECT_VERSION}")
	target_link_libraries(sim_client PRIVATE roost_deps)
	set(object ${CMAKE_BINARY_DIR}/gen/sim_client.o)
	add_custom_command(OUTPUT ${object} DEPENDS sim_client $<TARGET_OBJECTS:sim_client> COMMAND_EXPAND_LISTS VERBATIM
		COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/gen
		COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${object} $<TARGET_OBJECTS:sim_client>
		COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=core_* ${object})
	set(${out} ${object} PARENT_SCOPE)
endfunction()

if(TARGET roost_server AND TARGET roost_client)
	sim_client_core(client_core)
	file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/sim/*.c)
	add_executable(sim ${sim_sources} ${client_core})
	target_include_directories(sim PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/test)
	target_link_libraries(sim PRIVATE roost_server roost_deps)
	foreach(name IN LISTS sim_wraps)
		target_link_options(sim PRIVATE LINKER:--wrap=${name})
	endforeach()
endif()
