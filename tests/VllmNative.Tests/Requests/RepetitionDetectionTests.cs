using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Requests;

/// <summary>What counts as a repetition at the end of a sequence.</summary>
public sealed class RepetitionDetectionTests
{
    [Theory]
    [InlineData("", 4, 0, 2, false)]
    [InlineData("5", 4, 0, 2, false)]
    [InlineData("55", 4, 0, 2, true)]
    [InlineData("55", 4, 2, 2, false)]
    [InlineData("5555", 4, 2, 2, true)]
    [InlineData("1212", 1, 0, 2, false)]
    [InlineData("1212", 2, 0, 2, true)]
    [InlineData("1212", 2, 0, 3, false)]
    [InlineData("9121212", 2, 0, 3, true)]
    [InlineData("21212", 2, 0, 3, false)]
    [InlineData("12123", 4, 0, 2, false)]
    [InlineData("123123", 4, 0, 2, true)]
    [InlineData("123123", 4, 4, 2, false)]
    [InlineData("55", 0, 0, 0, false)]
    public void A_pattern_stands_at_the_end_often_enough(string tokens, int max, int min, int count, bool found)
    {
        var detection = new RepetitionDetection { MaxPatternSize = max, MinPatternSize = min, MinCount = count };
        detection.Validate();
        Assert.Equal(found, detection.Found([.. tokens.Select(digit => digit - '0')]));
    }
}
