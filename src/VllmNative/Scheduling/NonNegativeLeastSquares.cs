namespace VllmNative.Scheduling;

/// <summary>Solves the normal equations of a small least-squares problem whose solution must not be negative.</summary>
internal static class NonNegativeLeastSquares
{
    // A pivot below this part of its diagonal is rounding.
    private const double LeastPivot = 1e-12;

    /// <summary>
    /// Cholesky, again without the unknown that came out most negative until none does; that one is 0. Exact enough here: which
    /// unknowns are 0 is decided anew each time. Allocates nothing.
    /// </summary>
    /// <param name="matrix">Symmetric and positive semidefinite, n x n; only the lower triangle is read.</param>
    /// <param name="moment">The right side, n long.</param>
    /// <param name="solution">Where the diagonal is 0 nothing is known of an unknown: it stays as it is.</param>
    internal static void Solve(ReadOnlySpan<double> matrix, ReadOnlySpan<double> moment, Span<double> solution)
    {
        int n = moment.Length;
        Span<int> active = stackalloc int[n];
        Span<double> factor = stackalloc double[n * n];
        Span<double> values = stackalloc double[n];
        int count = 0;
        for (int i = 0; i < n; i++)
        {
            if (matrix[(i * n) + i] > 0)
            {
                active[count++] = i;
            }
        }

        while (count > 0)
        {
            Span<int> unknowns = active[..count];
            Factor(matrix, n, unknowns, factor);
            Substitute(factor, n, unknowns, moment, values);
            int worst = MostNegative(matrix, n, unknowns, values);
            if (worst < 0)
            {
                break;
            }

            solution[unknowns[worst]] = 0;
            unknowns[(worst + 1)..].CopyTo(unknowns[worst..]);
            count--;
        }

        for (int i = 0; i < count; i++)
        {
            solution[active[i]] = values[i];
        }
    }

    // The rows and columns of the unknowns, as a lower triangle times its transpose.
    private static void Factor(ReadOnlySpan<double> matrix, int n, ReadOnlySpan<int> unknowns, Span<double> factor)
    {
        for (int i = 0; i < unknowns.Length; i++)
        {
            int row = unknowns[i] * n;
            for (int j = 0; j <= i; j++)
            {
                double sum = matrix[row + unknowns[j]];
                for (int k = 0; k < j; k++)
                {
                    sum -= factor[(i * n) + k] * factor[(j * n) + k];
                }

                factor[(i * n) + j] = j == i ? Math.Sqrt(Math.Max(sum, LeastPivot * matrix[row + unknowns[i]])) : sum / factor[(j * n) + j];
            }
        }
    }

    private static void Substitute(ReadOnlySpan<double> factor, int n, ReadOnlySpan<int> unknowns, ReadOnlySpan<double> moment, Span<double> values)
    {
        for (int i = 0; i < unknowns.Length; i++)
        {
            double sum = moment[unknowns[i]];
            for (int k = 0; k < i; k++)
            {
                sum -= factor[(i * n) + k] * values[k];
            }

            values[i] = sum / factor[(i * n) + i];
        }

        for (int i = unknowns.Length - 1; i >= 0; i--)
        {
            double sum = values[i];
            for (int k = i + 1; k < unknowns.Length; k++)
            {
                sum -= factor[(k * n) + i] * values[k];
            }

            values[i] = sum / factor[(i * n) + i];
        }
    }

    // Compared by what they contribute, since unknowns have units of their own. -1 = none is negative.
    private static int MostNegative(ReadOnlySpan<double> matrix, int n, ReadOnlySpan<int> unknowns, ReadOnlySpan<double> values)
    {
        int worst = -1;
        double least = 0;
        for (int i = 0; i < unknowns.Length; i++)
        {
            double contribution = values[i] * Math.Sqrt(matrix[(unknowns[i] * n) + unknowns[i]]);
            if (contribution < least)
            {
                (worst, least) = (i, contribution);
            }
        }

        return worst;
    }
}
