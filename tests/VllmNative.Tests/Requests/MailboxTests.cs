using VllmNative.Requests;
using Xunit;

namespace VllmNative.Tests.Requests;

/// <summary>Tokens on their way from the engine thread to a reader.</summary>
public sealed class MailboxTests
{
    [Fact]
    public void A_slow_reader_finds_everything_at_once()
    {
        var mailbox = new Mailbox(4, -1);
        mailbox.Post(5);
        mailbox.Wake();
        mailbox.Post(6);
        mailbox.Wake();
        mailbox.Finish(FinishReason.Length, null, null);
        mailbox.Wake();
        List<int> ids = [5];
        Assert.Equal(FinishReason.Length, mailbox.Drain(1, ids).Finish);
        Assert.Equal([5, 6], ids);
        Assert.True(mailbox.WaitAsync(CancellationToken.None).AsTask().IsCompletedSuccessfully);
        Assert.False(mailbox.WaitAsync(CancellationToken.None).AsTask().IsCompleted);
    }

    [Fact]
    public void The_first_end_counts()
    {
        var mailbox = new Mailbox(1, -1);
        mailbox.Finish(FinishReason.Stop, 7, null);
        mailbox.Finish(FinishReason.Error, null, "late");
        Assert.Equal(new MailboxState(FinishReason.Stop, 7, null), mailbox.Drain(0, []));
    }

    [Fact]
    public async Task No_wake_is_lost_between_a_poster_and_a_reader()
    {
        const int count = 20_000;
        var mailbox = new Mailbox(count, -1);
        var poster = Task.Run(
            () =>
            {
                for (int i = 0; i < count; i++)
                {
                    mailbox.Post(i);
                    mailbox.Wake();
                }
            },
            TestContext.Current.CancellationToken);
        List<int> ids = [];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (ids.Count < count)
        {
            await mailbox.WaitAsync(limit.Token);
            mailbox.Drain(ids.Count, ids);
        }

        await poster;
        Assert.Equal(Enumerable.Range(0, count), ids);
    }

    [Fact]
    public async Task A_reader_that_gives_up_loses_no_news()
    {
        var mailbox = new Mailbox(1, -1);
        using var cancelled = new CancellationTokenSource(1);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => mailbox.WaitAsync(cancelled.Token).AsTask());
        mailbox.Wake();
        Assert.True(mailbox.WaitAsync(CancellationToken.None).AsTask().IsCompletedSuccessfully);
    }
}
