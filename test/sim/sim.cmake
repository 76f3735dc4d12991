# The simulator: the daemon's own code over twins of what it stands on. Calls of the program (not of the libraries below
# it) to the functions listed here are led to test/sim (os, fiber, plants). libuv, net/ and the system's VFS are
# replaced by definitions of the same names, which the linker finds first.

set(sim_wraps clock_gettime getrandom flock prctl setrlimit _exit pthread_create pthread_join pthread_cond_wait
	pthread_cond_timedwait pthread_cond_signal pthread_cond_broadcast
	cmd_send_run cmd_finish_run cmd_revoke_run automatic_judge session_leave store_submit relay_committed)

if(TARGET roost_server AND TARGET roost_client)
	file(GLOB sim_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/test/sim/*.c)
	add_executable(sim ${sim_sources})
	target_include_directories(sim PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/test)
	target_link_libraries(sim PRIVATE roost_client roost_server roost_deps)
	foreach(name IN LISTS sim_wraps)
		target_link_options(sim PRIVATE LINKER:--wrap=${name})
	endforeach()
endif()
