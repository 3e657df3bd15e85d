namespace VllmNative.Bench.Results;

/// <summary>Numbers for people: five digits are more than a measurement has.</summary>
internal static class Figures
{
    private const int Digits = 5;

    internal static double Round(double value)
    {
        if (value == 0 || !double.IsFinite(value))
        {
            return value;
        }

        int places = Digits - 1 - (int)Math.Floor(Math.Log10(Math.Abs(value)));
        return places >= 0 ? Math.Round(value, Math.Min(places, 15)) : Math.Round(value);
    }
}
