#include "textflag.h"

TEXT ·moveClock(SB), NOSPLIT, $0
	MOVD $gettime<>(SB), R0
	MOVD R0, runtime·vdsoClockgettimeSym(SB)
	RET

// gettime is clock_gettime(2) in C's calling convention, as the vDSO's is:
// the clock in R0, the struct timespec in R1.
TEXT gettime<>(SB), NOSPLIT|NOFRAME, $0
	MOVD R0, R2
	MOVD $113, R8
	SVC
	CBNZ R2, done // not CLOCK_REALTIME
	MOVD ·movedBy(SB), R3
	MOVD (R3), R3
	MOVD (R1), R4
	ADD  R3, R4
	MOVD R4, (R1)
done:
	RET
