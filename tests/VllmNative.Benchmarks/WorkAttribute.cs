namespace VllmNative.Benchmarks;

/// <summary>How much one operation of a benchmark does.</summary>
/// <param name="amount">In units.</param>
/// <param name="unit">Of the amount by second, such as GB/s.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class WorkAttribute(double amount, string unit) : Attribute
{
    /// <summary>In units.</summary>
    public double Amount => amount;

    /// <summary>Of the amount by second.</summary>
    public string Unit => unit;
}
