#pragma clang fp reassociate(on) contract(fast)
// The gated delta rule (Gated DeltaNet, arXiv 2412.06464, equation 10) of one head, with S of [keys, values] numbers:
//     S̄ = decay S;  δ = β (v − S̄ᵀ k);  S = S̄ + k δᵀ;  o = Sᵀ q

// δ of a row from the state before it.
INLINE void delta_of(const float *restrict S, const float *restrict k, const float *restrict v, float decay, float beta,
                     size_t keys, size_t values, float *restrict delta) {
    for (size_t j = 0; j < values; j++) delta[j] = 0;
    for (size_t i = 0; i < keys; i++)
        for (size_t j = 0; j < values; j++) delta[j] += k[i] * S[i * values + j];
    for (size_t j = 0; j < values; j++) delta[j] = beta * (v[j] - decay * delta[j]);
}

static void delta_forward(const ck_delta *x, size_t rows, float *restrict S, float *states, float *o, size_t ldo,
                          float *restrict delta) {
    size_t keys = x->keys, values = x->values;
    for (size_t t = 0; t < rows; t++, o += ldo) {
        const float *q = x->q + t * x->ld, *k = x->k + t * x->ld, *v = x->v + t * x->ld;
        float decay = x->decay[t * x->ldc], beta = x->beta[t * x->ldc];
        if (states) memcpy(states + t * keys * values, S, 4 * keys * values);
        delta_of(S, k, v, decay, beta, keys, values, delta);
        for (size_t j = 0; j < values; j++) o[j] = 0;
        for (size_t i = 0; i < keys; i++) {
            float *restrict row = S + i * values;
            float a = k[i], b = q[i];
            for (size_t j = 0; j < values; j++) {
                float s = decay * row[j] + a * delta[j];
                row[j] = s;
                o[j] += b * s;
            }
        }
    }
}

// From the last row to the first: dS is that of the state behind them and becomes that of the state before.
static void delta_backward(const ck_delta *x, size_t rows, const float *states, const float *dout, size_t ldo,
                           float *restrict dS, const ck_delta_gradient *d, float *restrict scratch) {
    size_t keys = x->keys, values = x->values;
    float *restrict delta = scratch, *restrict ddelta = scratch + values, *restrict dm = scratch + 2 * values;
    for (size_t t = rows; t-- > 0;) {
        const float *q = x->q + t * x->ld, *k = x->k + t * x->ld, *v = x->v + t * x->ld;
        float decay = x->decay[t * x->ldc], beta = x->beta[t * x->ldc];
        const float *restrict S = states + t * keys * values, *restrict g = dout + t * ldo;
        float *dq = d->q + t * d->ld, *dk = d->k + t * d->ld, *dv = d->v + t * d->ld;
        delta_of(S, k, v, decay, beta, keys, values, delta);
        float along = 0; // δ · do
        for (size_t j = 0; j < values; j++) along += delta[j] * g[j];
        for (size_t j = 0; j < values; j++) ddelta[j] = 0;
        for (size_t i = 0; i < keys; i++) {
            float *restrict row = dS + i * values;
            const float *restrict s = S + i * values;
            float a = k[i], b = q[i], dot = 0, kd = 0;
            for (size_t j = 0; j < values; j++) {
                float r = row[j] + b * g[j];
                row[j] = r;
                ddelta[j] += a * r;
                kd += r * delta[j];
                dot += s[j] * g[j];
            }
            dq[i] += decay * dot + a * along;
            dk[i] += kd;
        }
        float dbeta = 0;
        for (size_t j = 0; j < values; j++) {
            dbeta += ddelta[j] * delta[j];
            dm[j] = -beta * ddelta[j];
            dv[j] += beta * ddelta[j];
        }
        // β is more than 0: it is a sigmoid, and δ / β = v − S̄ᵀ k
        d->beta[t * d->ldc] = beta > 0 ? dbeta / beta : 0;
        float ddecay = 0;
        for (size_t i = 0; i < keys; i++) {
            float *restrict row = dS + i * values;
            const float *restrict s = S + i * values;
            float a = k[i], dot = 0, along_s = 0;
            for (size_t j = 0; j < values; j++) {
                float r = row[j] + a * dm[j];
                dot += s[j] * dm[j];
                along_s += r * s[j];
                row[j] = decay * r;
            }
            dk[i] += decay * dot;
            ddecay += along_s;
        }
        d->decay[t * d->ldc] = ddecay;
    }
}
