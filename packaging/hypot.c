/* glibc 2.35 gave these two a new version, which alone would keep libdpo from running with glibc 2.34. */
#include <math.h>

double hypot(double x, double y) { return (double)sqrtl((long double)x * x + (long double)y * y); }

float hypotf(float x, float y) { return (float)sqrt((double)x * x + (double)y * y); }
